// SPDX-License-Identifier: Apache-2.0
// How `penstock test` and a function under test talk: frames over a stream socket whose descriptor the program
// finds in PENSTOCK_TEST. A frame is u8 type, u32 length, and so many bytes; big endian.
//
//   penstock: what holds for the next case, then TEST_RUN      program: TEST_STARTED once; for each case its
//                                                              items, its answer, TEST_OVER
// After a case everything is as at the beginning. The end of the stream ends the program.
#pragma once

#define TEST_FD_ENV "PENSTOCK_TEST"
#define TEST_FRAME_HEAD 5u
#define TEST_FRAME_MAX (17u << 20) // payload: more than any message may have

enum test_frame {
	// To the program.
	TEST_ANSWER = 1,   // what a function answers: u32 code (0: a reply), u16 length, name, data or text
	TEST_LEFT = 2,     // u64: the caller's deadline in us
	TEST_MIME = 3,     // of the request's data
	TEST_CREDIT = 4,   // u32: items that the caller asks for
	TEST_CANCEL = 5,   // u32: the caller gives up after so many items
	TEST_RUN = 6,      // u8 enum test_kind, data
	// From the program.
	TEST_STARTED = 16, // start() has returned 0
	TEST_ITEM = 17,
	TEST_REPLY = 18,
	TEST_ERROR = 19,   // u32 code, text
	TEST_OVER = 20,    // u32: calls that it has made
};

enum test_kind { TEST_CALL, TEST_EVENT, TEST_STREAM };
