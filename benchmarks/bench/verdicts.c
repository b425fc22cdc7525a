/* When the verdict on each of many flows changes, as seen by packets.
 *
 *     verdicts SENDER PORT MICROSECONDS < commands
 *
 * SENDER is the path of a network namespace. Lines "PATH ADDRESS" name receivers, an empty line ends them. Each command
 * is "open SECONDS" or "closed SECONDS": a datagram goes to each receiver every so many MICROSECONDS, and "sending" is
 * printed when all flows are seen in the other state. Then one line: for each receiver the time of sending of the first
 * packet with the new verdict, in nanoseconds of CLOCK_MONOTONIC, 0 if there was none in time.
 *
 * A packet that is not there after two rounds was dropped; a flow that has changed is not sent to any more.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1024, KEPT = 64, BEFORE = 8, LOST = 2 };

struct flow {
	int out, in;
	int64_t sent[KEPT], last, changed;
};

static struct flow flows[MOST];
static int count;
static int64_t turn;

static int64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int opened(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		err(1, "%s", path);
	close(fd);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		err(1, "socket");
	return fd;
}

static void add(const char *sender, const char *receiver, const char *address, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct flow *flow = &flows[count++];
	if (count > MOST || inet_pton(AF_INET, address, &to.sin_addr) != 1)
		errx(1, "%s: one receiver too many, or no address", address);
	flow->in = opened(receiver);
	if (bind(flow->in, (struct sockaddr *)&to, sizeof to) < 0)
		err(1, "bind %s", address);
	flow->out = opened(sender);
	if (connect(flow->out, (struct sockaddr *)&to, sizeof to) < 0)
		err(1, "connect %s", address);
}

static void transmit(struct flow *flow)
{
	flow->sent[turn % KEPT] = now();
	send(flow->out, &turn, sizeof turn, 0);
}

static void take(struct flow *flow)
{
	int64_t got;
	while (recv(flow->in, &got, sizeof got, 0) == sizeof got)
		if (got > flow->last)
			flow->last = got;
}

static void wait_until(int64_t then)
{
	struct timespec time = {then / 1000000000, then % 1000000000};
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static void send_to_all(int64_t interval)
{
	int64_t began = now();
	turn++;
	for (int each = 0; each < count; each++)
		if (!flows[each].changed)
			transmit(&flows[each]);
	wait_until(began + interval);
	for (int each = 0; each < count; each++)
		take(&flows[each]);
}

/* The time of the first packet with the new verdict, 0 while there is none. */
static int64_t change(const struct flow *flow, int open, int64_t since)
{
	if (open)
		return flow->last > since ? flow->sent[flow->last % KEPT] : 0;
	return turn - flow->last > LOST ? flow->sent[(flow->last + 1) % KEPT] : 0;
}

static void begin(int open, int64_t interval)
{
	for (int each = 0; each < count; each++)
		flows[each].changed = 0, flows[each].last = turn;
	int64_t since = turn;
	for (int round = 0; round < BEFORE; round++)
		send_to_all(interval);
	for (int each = 0; each < count; each++)
		if (change(&flows[each], open, since))
			errx(1, "flow %d is %s before the change", each, open ? "open" : "closed");
	puts("sending");
	fflush(stdout);
}

static void follow(int open, int64_t interval, int64_t deadline)
{
	int64_t since = turn;
	for (int left = count; left && now() < deadline;) {
		send_to_all(interval);
		for (int each = 0; each < count; each++) {
			struct flow *flow = &flows[each];
			if (!flow->changed && (flow->changed = change(flow, open, since)))
				left--;
		}
	}
	for (int each = 0; each < count; each++)
		printf("%lld ", (long long)flows[each].changed);
	puts("");
	fflush(stdout);
}

int main(int arguments, char **values)
{
	char line[512], word[256], other[256];
	if (arguments != 4)
		errx(2, "usage: verdicts SENDER PORT MICROSECONDS");
	int64_t interval = atoll(values[3]) * 1000;
	while (fgets(line, sizeof line, stdin) && sscanf(line, "%255s %255s", word, other) == 2)
		add(values[1], word, other, (uint16_t)atoi(values[2]));
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) && sscanf(line, "%255s %255s", word, other) == 2) {
		int open = !strcmp(word, "open");
		begin(open, interval);
		follow(open, interval, now() + atoll(other) * 1000000000);
	}
}
