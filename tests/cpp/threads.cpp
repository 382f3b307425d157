// A const store is for all threads; so is an exception that one of them throws.

#include "check.hpp"

#include <future>
#include <string_view>
#include <vector>

namespace cu = chunked_upload;

static cu::chunk chunk_of(const std::string &uid, std::uint64_t number)
{
    cu::chunk chunk;
    chunk.upload_uid = uid;
    chunk.total_size = 12;
    chunk.chunk_number = number;
    chunk.chunk_count = 4;
    chunk.content = std::string_view("abc");
    return chunk;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    const cu::store store(std::string(argv[1]) + "/store");
    const std::string uid = store.handle_chunk(chunk_of("", 0)).upload_uid;
    std::vector<std::future<void>> threads;
    for (int i = 0; i < 4; i++)
        threads.push_back(std::async(std::launch::async, [&] {
            for (const std::uint64_t number : {3u, 0u, 2u, 1u})
                store.handle_chunk(chunk_of(uid, number));
            CHECK(content_of(store.get(uid).path()) == "abcabcabcabc");
            store.handle_chunk(chunk_of(uid, 4));
        }));
    for (std::future<void> &thread : threads)
        failure(UPLOAD_INVALID_ARGUMENT, [&] { thread.get(); });
    return 0;
}
