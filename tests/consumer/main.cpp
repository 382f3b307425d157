// What someone who uses the installed library writes.

#include <chunked_upload.hpp>
#include <cstdio>
#include <string_view>

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    try {
        const chunked_upload::store store(argv[1]);
        chunked_upload::chunk chunk;
        chunk.total_size = 5;
        chunk.chunk_count = 1;
        chunk.content = std::string_view("hello");
        const auto receipt = store.handle_chunk(chunk);
        return store.get(receipt.upload_uid).total_size() == 5 ? 0 : 1;
    } catch (const chunked_upload::error &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
