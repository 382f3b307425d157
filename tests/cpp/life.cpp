// What follows the first chunk, in C++.

#include "check.hpp"

#include <filesystem>
#include <string_view>
#include <vector>

namespace cu = chunked_upload;

static cu::chunk chunk_of(std::uint64_t number, std::string_view content)
{
    cu::chunk chunk;
    chunk.file_name = "a.bin";
    chunk.total_size = 6;
    chunk.chunk_number = number;
    chunk.chunk_count = 2;
    chunk.content = content;
    return chunk;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    const std::string directory = argv[1];
    const cu::store store(directory + "/store", cu::options().max_store_size(1 << 20).max_uploads(2));
    const std::string key = "a key of sixteen bytes";

    const std::string uid = store.uid_for_key(key);
    cu::chunk chunk = chunk_of(1, "def");
    chunk.upload_key = key;
    CHECK(store.handle_chunk(chunk).upload_uid == uid);
    const cu::inspection seen = store.inspect(uid);
    CHECK(seen.uid == uid && seen.file_name == "a.bin" && seen.total_size == 6 && seen.chunk_count == 2);
    CHECK(seen.received_count == 1 && seen.received_size == 3 && seen.phase == cu::phase::receiving);
    CHECK(seen.missing.size() == 1 && seen.missing[0].first == 0 && seen.missing[0].count == 1 && !seen.next_chunk);
    CHECK(std::chrono::system_clock::now() - seen.last_activity < std::chrono::minutes(1));
    // The key is a copy: what it was made of may be gone.
    chunk.upload_key = cu::byte_string();
    chunk.upload_key = std::string(key);
    CHECK(store.handle_chunk(chunk).upload_uid == uid);
    chunk.upload_key = std::vector<unsigned char>(key.begin(), key.end());
    CHECK(store.handle_chunk(chunk).upload_uid == uid && store.uid_for_key(chunk.upload_key) == uid);
    chunk.upload_key = cu::bytes_view(key.data(), key.size());
    CHECK(store.handle_chunk(chunk).upload_uid == uid);
    CHECK(failure(UPLOAD_INVALID_ARGUMENT, [&] { chunk.upload_key = {nullptr, 3}; }).parameter().empty());
    CHECK(store.inspect(uid, 1).missing.empty());
    CHECK(store.verify(uid).checked_count == 1);

    chunk = chunk_of(0, "abc");
    chunk.upload_uid = uid;
    chunk.checksum = "crc32c=:AAAAAA==:";
    failure(UPLOAD_CHECKSUM_MISMATCH, [&] { store.handle_chunk(chunk); });
    chunk.checksum = std::string("crc32c=:AAAAAA==:\0", 18);
    failure(UPLOAD_INVALID_ARGUMENT, [&] { store.handle_chunk(chunk); });
    chunk.checksum = "crc32c=:Nks/tw==:";
    CHECK(store.handle_chunk(chunk).received_all);

    const cu::store ann = store.for_owner(std::string_view("ann"));
    failure(UPLOAD_NOT_FOUND, [&] { ann.inspect(uid); });
    failure(UPLOAD_INVALID_ARGUMENT, [&] { store.for_owner({}); });
    const std::string anns = ann.handle_chunk(chunk_of(0, "abc")).upload_uid;
    failure(UPLOAD_NOT_FOUND, [&] { store.remove(anns); });
    const cu::store all(directory + "/store", cu::options().all_owners());
    int uploads = 0;
    for (const cu::listed &upload : all.list()) {
        CHECK((upload.uid == uid || upload.uid == anns) && upload.total_size == 6 && upload.chunk_count == 2);
        CHECK(upload.phase == cu::phase::receiving && upload.file_name == "a.bin");
        uploads++;
    }
    CHECK(uploads == 2);
    failure(UPLOAD_LIMIT_EXCEEDED, [&] { store.handle_chunk(chunk_of(0, "abc")); });
    CHECK(ann.list().next()->uid == anns);

    const std::string place = directory + "/place";
    CHECK(store.move_to(uid, place).path() == place && content_of(place) == "abcdef");
    CHECK(store.move_to(uid, place).crc32c() != 0);
    failure(UPLOAD_GONE, [&] { store.move_to(uid, place + "2"); });
    CHECK(store.inspect(uid).phase == cu::phase::gone);
    ann.remove(anns);
    CHECK(!ann.list().next());

    cu::expiry expiry;
    CHECK(store.cleanup(expiry).gone == 0);
    expiry.gone = std::chrono::seconds(-1);
    failure(UPLOAD_INVALID_ARGUMENT, [&] { store.cleanup(expiry); });
    expiry.gone = std::chrono::seconds(0);
    expiry.dry_run = true;
    CHECK(store.cleanup(expiry).gone == 1);
    expiry.dry_run = false;
    const cu::cleaned cleaned = store.cleanup(expiry);
    CHECK(cleaned.gone == 1 && cleaned.unfinished == 0 && cleaned.failed == 0 && !cleaned.more);
    CHECK(!all.list().next());

    cu::list list = all.list();
    const cu::list moved = std::move(list);
    failure(UPLOAD_INVALID_ARGUMENT, [&] { list.next(); });
    return 0;
}
