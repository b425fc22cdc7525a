/* The cost of one packet or connection between two network namespaces, in one thread.
 *
 *     packets SENDER RECEIVER ADDRESS MODE COUNT
 *
 * SENDER and RECEIVER are paths of network namespaces, ADDRESS an IPv4 address of the receiver. Sending through a veth
 * runs the receiver's input path before the call returns, so one thread sees all of it and no other is waited for.
 *
 * Modes: tcp (a connection each, closed by a reset), new (each datagram is a flow of its own), unanswered (datagrams of
 * one flow, which connection tracking calls new for want of an answer: each gets a verdict), udp (datagrams of one
 * established flow), rtt (one datagram and its answer). Payloads have 64 bytes. Prints nanoseconds for each, median and 99th percentile over batches;
 * fails if anything is lost.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 8080, BATCH = 64, SIZE = 64, FIRST = 1024, LAST = 65535 };

static struct sockaddr_in target = {.sin_family = AF_INET};

static void enter(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		err(1, "%s", path);
	close(fd);
}

static int opened(int kind)
{
	int fd = socket(AF_INET, kind | SOCK_CLOEXEC, 0), one = 1;
	struct timeval patience = {.tv_sec = 1};
	if (fd < 0)
		err(1, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	return fd;
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static void receive(int fd, struct sockaddr_in *from)
{
	char data[SIZE];
	socklen_t size = sizeof *from;
	if (recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)from, from ? &size : NULL) < 0)
		err(1, "lost");
}

static void transmit(int fd, const struct sockaddr_in *to)
{
	static const char data[SIZE];
	if (sendto(fd, data, sizeof data, 0, (const struct sockaddr *)to, sizeof *to) < 0)
		err(1, "sendto");
}

static void datagrams(int sender, int receiver)
{
	for (int each = 0; each < BATCH; each++)
		transmit(sender, &target);
	for (int each = 0; each < BATCH; each++)
		receive(receiver, NULL);
}

static void flows(int sender, int receiver)
{
	static int port = FIRST;
	(void)sender;
	for (int each = 0; each < BATCH; each++) {
		struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port)};
		int fd = opened(SOCK_DGRAM);
		port = port == LAST ? FIRST : port + 1;
		if (bind(fd, (struct sockaddr *)&own, sizeof own) < 0)
			err(1, "bind");
		transmit(fd, &target);
		close(fd);
	}
	for (int each = 0; each < BATCH; each++)
		receive(receiver, NULL);
}

static void connections(int sender, int listener)
{
	struct linger reset = {.l_onoff = 1};
	(void)sender;
	for (int each = 0; each < BATCH; each++) {
		int fd = opened(SOCK_STREAM), peer;
		if (connect(fd, (struct sockaddr *)&target, sizeof target) < 0)
			err(1, "connect");
		if ((peer = accept(listener, NULL, NULL)) < 0)
			err(1, "accept");
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		close(fd);
		close(peer);
	}
}

static void exchanges(int sender, int receiver)
{
	struct sockaddr_in from;
	for (int each = 0; each < BATCH; each++) {
		transmit(sender, &target);
		receive(receiver, &from);
		transmit(receiver, &from);
		receive(sender, NULL);
	}
}

static int compare(const void *one, const void *other)
{
	double left = *(const double *)one, right = *(const double *)other;
	return (left > right) - (left < right);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int kind;
		void (*work)(int, int);
		int answered;
	} modes[] = {{"tcp", SOCK_STREAM, connections, 0},
		     {"new", SOCK_DGRAM, flows, 0},
		     {"unanswered", SOCK_DGRAM, datagrams, 0},
		     {"udp", SOCK_DGRAM, datagrams, 1},
		     {"rtt", SOCK_DGRAM, exchanges, 1}};
	const int count = sizeof modes / sizeof *modes;
	int mode = 0, receiver, sender, batches = argc == 6 ? atoi(argv[5]) / BATCH : 0;
	while (argc == 6 && mode < count && strcmp(modes[mode].name, argv[4]))
		mode++;
	target.sin_port = htons(PORT);
	if (batches < 1 || mode == count || inet_pton(AF_INET, argv[3], &target.sin_addr) != 1)
		errx(2, "usage: packets SENDER RECEIVER ADDRESS MODE COUNT, a count of %d at least", BATCH);
	double *taken = calloc(batches, sizeof *taken);
	if (!taken)
		err(1, "calloc");
	enter(argv[2]);
	receiver = opened(modes[mode].kind);
	if (bind(receiver, (struct sockaddr *)&target, sizeof target) < 0)
		err(1, "bind");
	if (modes[mode].kind == SOCK_STREAM && listen(receiver, BATCH) < 0)
		err(1, "listen");
	enter(argv[1]);
	sender = opened(SOCK_DGRAM);
	if (modes[mode].answered)
		exchanges(sender, receiver);
	modes[mode].work(sender, receiver); /* neighbours, routes, caches */
	for (int batch = 0; batch < batches; batch++) {
		double began = now();
		modes[mode].work(sender, receiver);
		taken[batch] = (now() - began) / BATCH;
	}
	qsort(taken, batches, sizeof *taken, compare);
	printf("%.0f %.0f\n", taken[batches / 2], taken[batches * 99 / 100]);
	return 0;
}
