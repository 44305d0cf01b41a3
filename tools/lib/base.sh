# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What all scripts need: words for the user, a stack of things to undo, processes, waiting.
# Source it after `set -euo pipefail`; call undo_arm before anything is made.

base_start=$SECONDS
# What is said at the end goes here, whatever was redirected when the end came.
exec {base_stdout}>&1 {base_stderr}>&2
if [ -t 1 ]; then base_bold=$'\e[1m' base_plain=$'\e[0m'; else base_bold='' base_plain=''; fi

say() { printf '%s\n' "$*"; }
step() { printf '%s[%3ds] %s%s\n' "$base_bold" $((SECONDS - base_start)) "$*" "$base_plain"; }
warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# die SENTENCE [HOW TO MEND IT]
die() {
	warn "$1"
	[ $# -lt 2 ] || printf '  To mend it: %s\n' "$2" >&2
	exit 1
}

# --- undo: what was made is taken back in reverse, at every kind of end but kill -9 ---

undo_stack=()
undo_rc=0  # what the script will end with; what is undone may raise it

undo_push() {
	local words
	printf -v words '%q ' "$@"
	undo_stack+=("$words")
}

undo_run() {
	undo_rc=$?
	local i
	trap '' INT TERM HUP PIPE
	trap - EXIT
	exec >&"$base_stdout"
	exec 2>&"$base_stderr"
	[ $undo_rc != 130 ] || [ ! -t 1 ] || echo # behind the ^C
	for ((i = ${#undo_stack[@]} - 1; i >= 0; i--)); do
		eval "${undo_stack[i]}" || warn "could not undo: ${undo_stack[i]}"
	done
	undo_stack=()
	exit "$undo_rc"
}

undo_arm() {
	trap undo_run EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
}

# --- processes ---
# Each runs in a session of its own, so that Ctrl-C reaches only the script, which then stops them
# in order. process_file (if set) keeps pid and start time, for the run after a kill -9.

process_file=
process_pid=
processes_stay= # set it where none may end by itself: waiting then ends, too, and says which it was
declare -gA process_log=()

# A process' start time in clock ticks; with the pid it names one process for ever.
process_started() {
	local stat field
	read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
	read -ra field <<<"${stat##*) }"
	[ "${field[0]}" != Z ] || return 1
	printf '%s' "${field[19]}"
}

process_lives() { process_started "$1" >/dev/null; }

# process_start LOG COMMAND...: runs it in the background; its pid is in process_pid.
process_start() {
	local log=$1
	shift
	setsid "$@" >"$log" 2>&1 </dev/null {base_stdout}>&- {base_stderr}>&- &
	process_pid=$!
	process_log[$process_pid]=$log
	[ -z "$processes_stay" ] || disown $process_pid # so that the shell says nothing of its own
	if [ -n "$process_file" ]; then
		printf '%s %s\n' "$process_pid" "$(process_started "$process_pid" || echo 0)" >>"$process_file"
	fi
	undo_push process_stop "$process_pid"
}

# process_stop PID [SECONDS]: SIGTERM, and SIGKILL when it has not ended in time.
process_stop() {
	local pid=$1 tenths=$((${2:-5} * 10))
	process_lives "$pid" || return 0
	kill -TERM "$pid" 2>/dev/null || return 0
	while process_lives "$pid"; do
		if ((tenths-- == 0)); then
			warn "process $pid did not end when asked to: killed"
			kill -KILL "$pid" 2>/dev/null || true
			break
		fi
		sleep 0.1
	done
	wait "$pid" 2>/dev/null || true
}

# Ends what a run that was killed left behind: only processes that still are those written down.
process_reap_file() {
	local pid started
	[ -e "$1" ] || return 0
	while read -r pid started; do
		if [ "$(process_started "$pid" || true)" = "$started" ]; then
			say "ending process $pid of an earlier run"
			process_stop "$pid"
		fi
	done <"$1"
	rm -f "$1"
}

process_show_log() {
	local log=${process_log[$1]:-}
	[ -n "$log" ] && [ -s "$log" ] || return 0
	printf '  the last lines of %s:\n' "$log" >&2
	tail -n 15 "$log" | sed 's/^/    /' >&2
}

# --- waiting ---

# Shows the last words of a process that has ended. Fails if all live.
process_show_ended() {
	local pid
	for pid in "${!process_log[@]}"; do
		process_lives "$pid" && continue
		warn "a process ended by itself"
		process_show_log "$pid"
		return 0
	done
	return 1
}

# wait_for SECONDS WHAT PID COMMAND...: tries the command until it succeeds. PID (or -) is the process
# that must live meanwhile. Fails with a sentence and the process' last words.
wait_for() {
	local seconds=$1 what=$2 pid=$3 end
	shift 3
	end=$((${EPOCHREALTIME/./} + seconds * 1000000))
	until "$@" >/dev/null 2>&1; do
		if [ "$pid" != - ] && ! process_lives "$pid"; then
			warn "$what: the process ended"
			process_show_log "$pid"
			return 1
		fi
		if [ -n "$processes_stay" ] && process_show_ended; then
			warn "$what: not waited for any longer"
			return 1
		fi
		if ((${EPOCHREALTIME/./} > end)); then
			warn "$what: not within $seconds seconds"
			[ "$pid" = - ] || process_show_log "$pid"
			return 1
		fi
		sleep 0.05
	done
}
