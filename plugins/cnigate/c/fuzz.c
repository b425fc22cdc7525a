/* The reader of the configuration under a fuzzer: libFuzzer's entry point, and a program for tests without clang.
 *
 * The program reads cases from standard input, each a size of four bytes (little endian) and as many bytes, and prints
 * the code, and where prevResult stands, for each. The input is copied to memory of just that size, so that the
 * sanitizers see each byte read beyond it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

static enum code read_case(const uint8_t *data, size_t size, struct span *result) {
    struct config config;
    const char *problem;
    char *text = malloc(size ? size : 1);
    memcpy(text, data, size);
    enum code code = read_config(text, size, &config, &problem);
    result->from = config.prev_result.from ? (const char *)data + (config.prev_result.from - text) : NULL;
    result->size = config.prev_result.size;
    free(text);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span result;
    read_case(data, size, &result);
    return 0;
}

#ifndef LIBFUZZER
static uint8_t data[1 << 21];

int main(void) {
    uint8_t head[4];
    while (fread(head, 1, 4, stdin) == 4) {
        size_t size = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        struct span result;
        if (size > sizeof data || fread(data, 1, size, stdin) != size)
            return 2;
        enum code code = read_case(data, size, &result);
        long at = result.from ? (long)(result.from - (const char *)data) : -1;
        printf("%d %ld %zu\n", code, at, result.from ? result.size : 0);
    }
    return 0;
}
#endif
