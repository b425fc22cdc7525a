/* Tries both directions of a denied flow from the first microsecond of a container.
 *
 *     never_open NAME ADDRESS PORT MILLISECONDS FILE
 *
 * Sends its name to the address, receives on the port, and writes into the file: packets tried and received, and the
 * milliseconds from its start to the first and the last packet received (-1: none). Static, so that any image runs it. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
    double begun = now(), first = -1, last = -1;
    if (argc != 6) return 2;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))}, at = to;
    inet_pton(AF_INET, argv[2], &to.sin_addr);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at)) return 3;
    long tried = 0, received = 0;
    char buffer[64];
    for (double end = begun + atof(argv[4]); now() < end; usleep(200)) {
        sendto(fd, argv[1], strlen(argv[1]), 0, (struct sockaddr *)&to, sizeof to); /* the receiver counts */
        tried++;
        while (recv(fd, buffer, sizeof buffer, 0) >= 0) {
            last = now() - begun;
            if (!received++) first = last;
        }
    }
    FILE *file = fopen(argv[5], "w");
    if (!file) return 4;
    fprintf(file, "%ld %ld %.1f %.1f\n", tried, received, first, last);
    return fclose(file) ? 5 : 0;
}
