// SPDX-License-Identifier: Apache-2.0
// Opens DPDK devices as ports. Main thread, before workers start and after they have stopped.
//
// What the device can do is negotiated: checksums, RSS, rx interrupts; the software does the
// rest. Drivers that need something special are in one table.
#include "dataplane/port.h"

#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>

#include "dataplane/eal.h"
#include "dataplane/mbuf.h"
#include "dataplane/net/net.h"

#define POOL_CACHE 256
#define POOL_BASE 8192
#define POOL_PER_WORKER 4096
#define RX_DESCRIPTORS 1024
#define TX_DESCRIPTORS 1024

struct quirk {
	const char *driver;
	bool software_checksum;    // its checksum offloads are loops in the driver: ours is cheaper
	bool kernel_twin;          // has a network interface of the same MAC on the kernel's side
	bool packed_pool;          // see pool_create_packed()
	uint16_t rx_descriptors;   // 0: the usual
};

static const struct quirk quirks[] = {
	{"net_tap", .software_checksum = true, .kernel_twin = true, .rx_descriptors = 256},
	{"net_af_xdp", .packed_pool = true},
};

static const struct quirk *quirk_of(const char *driver)
{
	static const struct quirk none;

	for (size_t i = 0; i < RTE_DIM(quirks); i++)
		if (strcmp(quirks[i].driver, driver) == 0)
			return &quirks[i];
	return &none;
}

// net_tap asks for a real-time signal for each packet and reads its descriptor only after one: a
// signal handler a packet, and a stall if every thread blocks the signal. It does without when it
// finds none free: so they are taken while it looks.
struct claimed_signals {
	sigset_t set;
};

static void signals_claim(struct claimed_signals *claimed)
{
	sigemptyset(&claimed->set);
	for (int signo = SIGRTMIN; signo <= SIGRTMAX; signo++) {
		struct sigaction action;

		if (sigaction(signo, NULL, &action) || action.sa_handler != SIG_DFL)
			continue;
		signal(signo, SIG_IGN);
		sigaddset(&claimed->set, signo);
	}
}

static void signals_free(const struct claimed_signals *claimed)
{
	for (int signo = SIGRTMIN; signo <= SIGRTMAX; signo++)
		if (sigismember(&claimed->set, signo) == 1)
			signal(signo, SIG_DFL);
}

// net_af_xdp shows the kernel a pool as one stretch of memory of as many bytes as its buffers have
// together. Usually no buffer crosses a page, and what that leaves unused pushes the last ones out
// of the stretch: the kernel refuses them one a call, and all that is queued behind waits. So these
// lie back to back. For devices that access memory physically that would not do.
static struct rte_mempool *pool_create_packed(
	const char *name, unsigned size, unsigned room, int socket)
{
	struct rte_pktmbuf_pool_private private = {
		.mbuf_data_room_size = (uint16_t)room, .mbuf_priv_size = MBUF_PRIVATE};
	unsigned bytes = (unsigned)sizeof(struct rte_mbuf) + MBUF_PRIVATE + room;
	struct rte_mempool *pool = rte_mempool_create_empty(name, size, bytes, POOL_CACHE,
		sizeof(private), socket, RTE_MEMPOOL_F_NO_IOVA_CONTIG);

	if (!pool)
		return NULL;
	if (rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL))
		goto fail;
	rte_pktmbuf_pool_init(pool, &private);
	if (rte_mempool_populate_default(pool) < 0 || pool->nb_mem_chunks != 1)
		goto fail;
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
fail:
	rte_mempool_free(pool);
	return NULL;
}

static struct rte_mempool *pool_new(struct ports *ports, const struct options *o, unsigned slot,
	int socket, unsigned room, bool packed)
{
	unsigned size = o->mbufs ? o->mbufs : POOL_BASE + POOL_PER_WORKER * ports->workers;
	char name[32];

	snprintf(name, sizeof(name), "packets-%u", slot);
	ports->pool[slot] = packed ? pool_create_packed(name, size, room, socket)
				   : rte_pktmbuf_pool_create(name, size, POOL_CACHE, MBUF_PRIVATE,
					     (uint16_t)room, socket);
	ports->pool_socket[slot] = socket;
	if (!ports->pool[slot])
		log_error("port",
			"no memory for %u packet buffers: give more --memory or fewer --mbufs",
			size);
	return ports->pool[slot];
}

static bool pool_packed(const struct rte_mempool *pool)
{
	return pool->flags & RTE_MEMPOOL_F_NO_IOVA_CONTIG;
}

// The pool of the device's socket whose buffers take a frame of its MTU; made when there is none.
static struct rte_mempool *pool_of(struct ports *ports, const struct options *o, int socket,
	unsigned mtu, bool packed)
{
	unsigned room = RTE_PKTMBUF_HEADROOM + RTE_ALIGN(mtu + NET_ETHER_HEADER + 8, 64);
	unsigned slot;

	if (room < RTE_MBUF_DEFAULT_BUF_SIZE)
		room = RTE_MBUF_DEFAULT_BUF_SIZE;
	for (slot = 0; slot < NET_PORTS_MAX && ports->pool[slot]; slot++)
		if (ports->pool_socket[slot] == socket &&
			pool_packed(ports->pool[slot]) == packed &&
			rte_pktmbuf_data_room_size(ports->pool[slot]) >= room)
			return ports->pool[slot];
	// One for each port is the most there can be.
	return pool_new(ports, o, slot, socket, room, packed);
}

// Probes a device that is not there yet and finds its DPDK port.
static int probe(struct port *port, const char *devargs)
{
	char device[64];
	int error;

	if (strncmp(devargs, "pci:", 4) == 0)
		devargs += 4;
	snprintf(device, sizeof(device), "%.*s", (int)strcspn(devargs, ","), devargs);
	error = eal_is_pci(devargs) ? 0 : rte_dev_probe(devargs);
	if (error) {
		log_error("port",
			"%s: the device '%s' could not be made (%s); check its arguments and "
			"rights, --log-level debug shows the driver's messages",
			port->name, devargs, rte_strerror(-error));
		return error;
	}
	if (rte_eth_dev_get_port_by_name(device, &port->id)) {
		log_error("port",
			"%s: no device %s that DPDK can drive; 'penstock port list' shows what "
			"there is",
			port->name, device);
		return -ENODEV;
	}
	return 0;
}

static void negotiate(struct port *port, const struct rte_eth_dev_info *info,
	const struct quirk *quirk, struct rte_eth_conf *conf)
{
	static const uint64_t rss = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_TCP |
		RTE_ETH_RSS_NONFRAG_IPV4_UDP;
	uint64_t rx = info->rx_offload_capa, tx = info->tx_offload_capa;

	if (quirk->software_checksum)
		rx = tx = 0;
	port->rx_ip_checksum = rx & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
	port->rx_l4_checksum = rx & RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
	port->tx_ip_checksum = tx & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	port->tx_tcp_checksum = tx & RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
	conf->rxmode.offloads = rx & (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM);
	conf->txmode.offloads = tx &
		(RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
			RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
	if ((info->flow_type_rss_offloads & rss) == 0)
		return;
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf->rx_adv_conf.rss_conf.rss_hf = info->flow_type_rss_offloads & rss;
}

static int setup_queues(struct port *port, unsigned workers, const struct quirk *quirk, int socket)
{
	uint16_t rx = quirk->rx_descriptors ? quirk->rx_descriptors : RX_DESCRIPTORS;
	uint16_t tx = TX_DESCRIPTORS;
	int error = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx, &tx);

	for (uint16_t q = 0; !error && q < workers; q++) {
		error = rte_eth_rx_queue_setup(port->id, q, rx, (unsigned)socket, NULL, port->pool);
		if (!error)
			error = rte_eth_tx_queue_setup(port->id, q, tx, (unsigned)socket, NULL);
	}
	return error;
}

static int settle_mtu(struct port *port, const struct options *o)
{
	int error = o->mtu ? rte_eth_dev_set_mtu(port->id, (uint16_t)o->mtu)
			   : rte_eth_dev_get_mtu(port->id, &port->mtu);

	if (o->mtu)
		port->mtu = (uint16_t)o->mtu;
	// Drivers that cannot set it take what the link is made for.
	if (error == -ENOTSUP)
		error = 0;
	if (error || port->mtu < NET_MTU_MIN || port->mtu > NET_MTU_MAX) {
		log_error("port", "%s: an MTU of %u cannot be used (%s): give --mtu %u to %u",
			port->name, port->mtu, rte_strerror(error ? -error : EMSGSIZE), NET_MTU_MIN,
			NET_MTU_MAX);
		return error ? error : -EMSGSIZE;
	}
	return 0;
}

static int configure(
	struct port *port, struct ports *ports, const struct options *o, bool interrupts)
{
	struct rte_eth_conf conf = {.intr_conf.rxq = interrupts};
	struct rte_eth_dev_info info;
	const struct quirk *quirk = quirk_of(port->driver);
	int socket = rte_eth_dev_socket_id(port->id);
	int error = rte_eth_dev_info_get(port->id, &info);

	if (error)
		return error;
	negotiate(port, &info, quirk, &conf);
	if (ports->workers == 1)
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
	error = rte_eth_dev_configure(
		port->id, (uint16_t)ports->workers, (uint16_t)ports->workers, &conf);
	if (error)
		return error;
	error = settle_mtu(port, o);
	port->pool = error ? NULL : pool_of(ports, o, socket, port->mtu, quirk->packed_pool);
	if (!port->pool)
		return error ? error : -ENOMEM;
	error = setup_queues(port, ports->workers, quirk, socket);
	if (!error)
		error = rte_eth_dev_start(port->id);
	port->started = !error;
	return error;
}

// Drivers without rx interrupts complain loudly when asked: the question is put in silence.
static void find_interrupts(struct port *port, unsigned workers, bool interrupts)
{
	uint32_t level = rte_log_get_global_level();

	rte_log_set_global_level(RTE_LOG_EMERG);
	for (uint16_t q = 0; q < workers; q++) {
		port->rx_fd[q] = interrupts ? rte_eth_dev_rx_intr_ctl_q_get_fd(port->id, q) : -1;
		if (port->rx_fd[q] < 0)
			port->rx_fd[q] = -1;
	}
	port->intr_switch = port->rx_fd[0] >= 0 && rte_eth_dev_rx_intr_enable(port->id, 0) == 0;
	if (port->intr_switch)
		rte_eth_dev_rx_intr_disable(port->id, 0);
	rte_log_set_global_level(level);
}

// The kernel's side of a tap gets the port's own MAC from the driver, and then takes all that is
// sent to us for its own: it is given the next one.
static void part_twins(const struct port *port, const char *devargs)
{
	const char *iface = strstr(devargs, "iface=");
	struct ifreq request = {.ifr_hwaddr.sa_family = 1 /* ARPHRD_ETHER */};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	if (iface)
		snprintf(request.ifr_name, IFNAMSIZ, "%.*s", (int)strcspn(iface + 6, ","),
			iface + 6);
	else
		snprintf(request.ifr_name, IFNAMSIZ, "dtap%u", port->id);
	memcpy(request.ifr_hwaddr.sa_data, port->mac, 6);
	request.ifr_hwaddr.sa_data[5] ^= 1;
	if (ioctl(fd, SIOCSIFHWADDR, &request))
		log_warn("port",
			"%s: give the interface %s another MAC address than the port's: %s",
			port->name, request.ifr_name, strerror(errno));
	close(fd);
}

static int open_port(
	struct ports *ports, struct port *port, const struct options *o, const char *devargs)
{
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;
	bool interrupts = true;
	int error = probe(port, devargs);

	if (error)
		return error;
	error = rte_eth_dev_info_get(port->id, &info);
	if (error)
		return error;
	snprintf(port->driver, sizeof(port->driver), "%s", info.driver_name);
	if (ports->workers > info.max_rx_queues || ports->workers > info.max_tx_queues) {
		log_error("port",
			"%s: the device has %u queue(s), too few for %u workers: use --workers %u",
			port->name, RTE_MIN(info.max_rx_queues, info.max_tx_queues), ports->workers,
			RTE_MIN(info.max_rx_queues, info.max_tx_queues));
		return -E2BIG;
	}
	error = configure(port, ports, o, interrupts);
	if (error && port->pool) {
		interrupts = false;
		error = configure(port, ports, o, interrupts);
	}
	if (error && port->pool)
		log_error("port", "%s: the device does not start: %s; --log-level debug shows why",
			port->name, rte_strerror(-error));
	if (error)
		return error;
	find_interrupts(port, ports->workers, interrupts);
	rte_eth_promiscuous_disable(port->id);
	rte_eth_macaddr_get(port->id, &mac);
	memcpy(port->mac, mac.addr_bytes, 6);
	if (quirk_of(port->driver)->kernel_twin)
		part_twins(port, devargs);
	log_info("port", "%s: %s, %02x:%02x:%02x:%02x:%02x:%02x, MTU %u, %u queue%s, %s",
		port->name, port->driver, port->mac[0], port->mac[1], port->mac[2], port->mac[3],
		port->mac[4], port->mac[5], port->mtu, ports->workers,
		ports->workers == 1 ? "" : "s", port->rx_fd[0] >= 0 ? "rx interrupts" : "polled");
	return 0;
}

int ports_open(struct ports *ports, const struct options *o, unsigned workers)
{
	struct claimed_signals claimed;
	int error = 0;

	*ports = (struct ports){.workers = workers};
	signals_claim(&claimed);
	for (unsigned i = 0; !error && i < o->ports; i++) {
		struct port *port = &ports->port[i];
		const char *devargs;

		if (!options_split(o->port[i].text, port->name, sizeof(port->name), &devargs) ||
			ports_find(ports, port->name) >= 0) {
			log_error("port",
				"'%s' is not NAME=DEVARGS with a name of its own, as "
				"p0=net_tap0,iface=pn0",
				o->port[i].text);
			error = -EINVAL;
			break;
		}
		ports->count++;
		error = open_port(ports, port, o, devargs);
	}
	signals_free(&claimed);
	if (error)
		ports_close(ports);
	return error;
}

void ports_close(struct ports *ports)
{
	for (unsigned i = ports->count; i-- > 0;) {
		struct port *port = &ports->port[i];

		if (!port->driver[0])
			continue;
		if (port->started)
			rte_eth_dev_stop(port->id);
		rte_eth_dev_close(port->id);
	}
	for (unsigned i = 0; i < NET_PORTS_MAX; i++)
		rte_mempool_free(ports->pool[i]);
	*ports = (struct ports){0};
}

int ports_find(const struct ports *ports, const char *name)
{
	for (unsigned i = 0; i < ports->count; i++)
		if (strcmp(ports->port[i].name, name) == 0)
			return (int)i;
	return -1;
}

void port_stats(const struct port *port, struct port_stats *out)
{
	struct rte_eth_stats stats = {0};

	rte_eth_stats_get(port->id, &stats);
	*out = (struct port_stats){
		.rx_packets = stats.ipackets,
		.tx_packets = stats.opackets,
		.rx_bytes = stats.ibytes,
		.tx_bytes = stats.obytes,
		.rx_missed = stats.imissed,
		.rx_errors = stats.ierrors,
		.tx_errors = stats.oerrors,
		.rx_nombuf = stats.rx_nombuf,
	};
}

bool port_link_up(const struct port *port)
{
	struct rte_eth_link link = {0};

	return rte_eth_link_get_nowait(port->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

unsigned port_pool_available(const struct ports *ports)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < NET_PORTS_MAX; i++)
		if (ports->pool[i])
			sum += rte_mempool_avail_count(ports->pool[i]);
	return sum;
}

unsigned port_pool_size(const struct ports *ports)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < NET_PORTS_MAX; i++)
		if (ports->pool[i])
			sum += ports->pool[i]->size;
	return sum;
}
