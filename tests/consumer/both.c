/* A program that links two archives which are written in Rust. */

#include <chunked_upload.h>
#include <stdint.h>

uint32_t other_sum(uint32_t count);

int main(int argc, char **argv)
{
    upload_store *store = NULL;
    upload_result opened = upload_store_open(argc == 2 ? argv[1] : NULL, NULL, &store, NULL);
    upload_store_free(store);
    return opened == UPLOAD_OK && other_sum(10) == 45 && other_sum(101) == 0 ? 0 : 1;
}
