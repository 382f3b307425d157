/* The C++17 interface of chunked_upload.h: objects free their handles, and failures are exceptions.
 *
 * chunked_upload.h documents the calls, their failures, and the rules for threads, forks and file systems.
 * A complete program:
 *
 *     #include <chunked_upload.hpp>
 *     #include <iostream>
 *
 *     int main()
 *     {
 *         try {
 *             const chunked_upload::store store("uploads");
 *             chunked_upload::chunk chunk;
 *             chunk.file_name = "hello.txt";
 *             chunk.total_size = 10;
 *             chunk.chunk_count = 2;
 *             for (const std::string_view half : {"hello", "world"}) {
 *                 chunk.content = half;
 *                 chunk.upload_uid = store.handle_chunk(chunk).upload_uid;
 *                 ++chunk.chunk_number;
 *             }
 *             std::cout << store.get(chunk.upload_uid).path() << '\n';
 *         } catch (const chunked_upload::error &error) {
 *             std::cerr << error.what() << '\n';
 *             return 1;
 *         }
 *     }
 *
 * store, options, finished and list own one handle each. Each object is as large as a pointer, and can be
 * moved but not copied. A moved-from object can only be assigned or destroyed: a call on it throws
 * UPLOAD_INVALID_ARGUMENT. native_handle() lends the handle to a C function. release() gives the handle to
 * the caller, and adopt() takes one from the caller.
 */

#ifndef CHUNKED_UPLOAD_HPP
#define CHUNKED_UPLOAD_HPP

#if !defined(__cplusplus) || __cplusplus < 201703L
#error "chunked_upload.hpp needs C++17"
#endif

#include "chunked_upload.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace chunked_upload {

namespace detail {

struct deleter {
    void operator()(upload_store *handle) const noexcept { upload_store_free(handle); }
    void operator()(upload_options *handle) const noexcept { upload_options_free(handle); }
    void operator()(upload_finished *handle) const noexcept { upload_finished_free(handle); }
    void operator()(upload_error *handle) const noexcept { upload_error_free(handle); }
    void operator()(upload_inspection *handle) const noexcept { upload_inspection_free(handle); }
    void operator()(upload_verification *handle) const noexcept { upload_verification_free(handle); }
    void operator()(upload_list *handle) const noexcept { upload_list_free(handle); }
    void operator()(upload_listed *handle) const noexcept { upload_listed_free(handle); }
};

template <typename Handle>
using owner = std::unique_ptr<Handle, deleter>;

inline std::string text(const char *from) { return from == nullptr ? std::string() : std::string(from); }

} // namespace detail

/* A failed call. what() is the message for logs, and code() is the result. The other functions return the
 * facts of the failure, or 0 or "" if a fact does not apply. Copies share the facts. */
class error : public std::runtime_error {
public:
    /* Takes ownership of facts, which may be NULL. */
    error(upload_result code, upload_error *facts) : error(code, detail::owner<upload_error>(facts)) {}

    /* parameter must be a static string or NULL. */
    error(upload_result code, const std::string &message, const char *parameter = nullptr)
        : std::runtime_error(message), code_(code), parameter_(parameter)
    {
    }

    upload_result code() const noexcept { return code_; }
    /* The name of the result. A server may show it to its clients. */
    const char *name() const noexcept { return upload_result_name(code_); }

    /* The HTTP status with which a server would answer. */
    int http_status() const noexcept { return upload_result_http_status(code_); }

    /* UPLOAD_INVALID_ARGUMENT: the name of the refused parameter or member; see upload_error_parameter. */
    std::string parameter() const { return detail::text(facts_ ? upload_error_parameter(facts_.get()) : parameter_); }

    /* UPLOAD_IO and UPLOAD_NO_SPACE. The path may contain the whole uid, which is a secret. */
    int os_errno() const noexcept { return upload_error_os_errno(facts_.get()); }
    std::string path() const { return detail::text(upload_error_path(facts_.get())); }

    /* UPLOAD_INCOMPLETE. */
    std::uint64_t missing_count() const noexcept { return upload_error_missing_count(facts_.get()); }
    std::uint64_t first_missing() const noexcept { return upload_error_first_missing(facts_.get()); }

    /* UPLOAD_LIMIT_EXCEEDED. */
    std::string limit() const { return detail::text(upload_error_limit(facts_.get())); }
    std::uint64_t limit_value() const noexcept { return upload_error_limit_value(facts_.get()); }

    /* UPLOAD_SIZE_MISMATCH. */
    std::uint64_t received_size() const noexcept { return upload_error_received_size(facts_.get()); }
    std::uint64_t declared_size() const noexcept { return upload_error_declared_size(facts_.get()); }

private:
    error(upload_result code, detail::owner<upload_error> facts)
        : std::runtime_error(upload_error_message(facts.get())), code_(code), facts_(std::move(facts))
    {
    }

    upload_result code_;
    std::shared_ptr<const upload_error> facts_;
    const char *parameter_ = nullptr;
};

namespace detail {

/* Calls a function whose last parameter takes the error. */
template <typename Function, typename... Arguments>
void call(Function *function, Arguments... arguments)
{
    upload_error *facts = nullptr;
    const upload_result code = function(arguments..., &facts);
    if (code != UPLOAD_OK)
        throw error(code, facts);
}

/* Calls a function whose last two parameters take a handle and the error. */
template <typename Handle, typename Function, typename... Arguments>
owner<Handle> made(Function *function, Arguments... arguments)
{
    Handle *handle = nullptr;
    call(function, arguments..., &handle);
    return owner<Handle>(handle);
}

/* A C string ends at its first NUL: a text that contains NUL must not pass as a shorter text. */
inline const char *c_string(const std::string &text, const char *parameter)
{
    if (text.find('\0') != std::string::npos)
        throw error(UPLOAD_INVALID_ARGUMENT, parameter + std::string(" contains NUL"), parameter);
    return text.c_str();
}

/* A uid with a NUL cannot exist. */
inline const char *c_uid(const std::string &uid)
{
    if (uid.find('\0') != std::string::npos)
        throw error(UPLOAD_NOT_FOUND, "upload not found: a uid with NUL");
    return uid.c_str();
}

} // namespace detail

/* A view of bytes. The caller keeps the bytes alive while the view is used. A view that was assigned from
 * a temporary dangles. A view is made from a pointer and a size, or from any contiguous container with
 * one-byte elements: std::string, std::string_view, std::vector<std::byte>, std::array<unsigned char, n>,
 * std::span<const char>, ... An array of char is refused: its last byte may be content or the NUL of a
 * text. Use std::string_view instead. */
class bytes_view {
public:
    constexpr bytes_view() noexcept = default;
    constexpr bytes_view(const void *data, std::size_t size) noexcept : data_(data), size_(size) {}

    template <std::size_t Size>
    bytes_view(const char (&)[Size]) = delete;

    template <typename Bytes,
              typename Element = std::remove_pointer_t<decltype(std::data(std::declval<const Bytes &>()))>,
              typename = std::enable_if_t<!std::is_same_v<Bytes, bytes_view> && sizeof(Element) == 1 &&
                                          std::is_trivially_copyable_v<Element>>>
    constexpr bytes_view(const Bytes &bytes) noexcept : data_(std::data(bytes)), size_(std::size(bytes))
    {
    }

    constexpr const void *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }

private:
    const void *data_ = nullptr;
    std::size_t size_ = 0;
};

/* A copy of bytes. It is made from the same types as a bytes_view. */
class byte_string {
public:
    byte_string() = default;
    byte_string(bytes_view from)
    {
        if (from.size() != 0 && from.data() == nullptr)
            throw error(UPLOAD_INVALID_ARGUMENT, "bytes at NULL");
        bytes_.assign(static_cast<const char *>(from.data()), from.size());
    }
    byte_string(const void *data, std::size_t size) : byte_string(bytes_view(data, size)) {}

    template <typename Bytes, typename = std::enable_if_t<std::is_constructible_v<bytes_view, const Bytes &>>>
    byte_string(const Bytes &from) : byte_string(bytes_view(from))
    {
    }

    const char *data() const noexcept { return bytes_.data(); }
    std::size_t size() const noexcept { return bytes_.size(); }

private:
    std::string bytes_;
};

/* One chunk of a file; see upload_chunk. An empty upload_uid starts an upload. content is a view: keep its
 * bytes until store::handle_chunk returns. All other members are copies. */
struct chunk {
    std::string upload_uid{};
    std::string file_name{};
    std::uint64_t total_size = 0;
    std::uint64_t chunk_number = 0;
    std::uint64_t chunk_count = 0;
    bytes_view content{};
    byte_string upload_key{};
    std::string checksum{};
    std::string file_digest{};
};

/* The answer to an accepted chunk; see upload_receipt. */
struct receipt {
    std::string upload_uid{};
    bool received_all = false;
};

/* The phase of an upload; see the UPLOAD_PHASE_ values. */
enum class phase : std::int32_t {
    receiving = UPLOAD_PHASE_RECEIVING,
    complete = UPLOAD_PHASE_COMPLETE,
    gone = UPLOAD_PHASE_GONE
};

/* Chunks with consecutive numbers. */
struct chunk_range {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
};

/* The state of an upload; see upload_inspect. */
struct inspection {
    std::string uid{};
    std::string file_name{};
    std::uint64_t total_size = 0;
    std::uint64_t chunk_count = 0;
    std::uint64_t received_size = 0;
    std::uint64_t received_count = 0;
    chunked_upload::phase phase{};
    std::chrono::system_clock::time_point last_activity{};
    std::vector<chunk_range> missing{};
    /* The from_chunk of the next store::inspect, if there are more ranges. */
    std::optional<std::uint64_t> next_chunk{};
};

/* The result of store::verify; see upload_verify. */
struct verification {
    chunked_upload::phase phase{};
    std::uint64_t checked_count = 0;
    std::uint64_t damaged_count = 0;
    std::vector<chunk_range> damaged{};
};

/* The ages at which store::cleanup removes uploads; see upload_expiry. Without an age uploads are kept; an
 * age of 0 removes them at once. A negative age throws UPLOAD_INVALID_ARGUMENT. */
struct expiry {
    std::optional<std::chrono::seconds> unfinished{};
    std::optional<std::chrono::seconds> finished{};
    std::optional<std::chrono::seconds> gone{};
    std::uint64_t max_removals = 1000;
    bool dry_run = false;
};

/* The uploads that store::cleanup removed; see upload_cleaned. */
struct cleaned {
    std::uint64_t unfinished = 0;
    std::uint64_t finished = 0;
    std::uint64_t gone = 0;
    std::uint64_t leftovers = 0;
    std::uint64_t failed = 0;
    bool more = false;
};

/* One upload of a list; see upload_listed. */
struct listed {
    std::string uid{};
    std::string file_name{};
    std::uint64_t total_size = 0;
    std::uint64_t chunk_count = 0;
    chunked_upload::phase phase{};
    std::chrono::system_clock::time_point last_activity{};
};

namespace detail {

inline std::chrono::system_clock::time_point time(std::int64_t seconds)
{
    return std::chrono::system_clock::time_point(std::chrono::seconds(seconds));
}

inline std::uint64_t age(const std::optional<std::chrono::seconds> &age, const char *parameter)
{
    if (age && age->count() < 0)
        throw error(UPLOAD_INVALID_ARGUMENT, parameter + std::string(" is negative"), parameter);
    if (!age)
        return UPLOAD_KEEP;
    return age->count() == 0 ? UPLOAD_ANY_AGE : static_cast<std::uint64_t>(age->count());
}

} // namespace detail

/* See upload_options_set_durability. */
enum class durability : std::int32_t {
    process = UPLOAD_DURABILITY_PROCESS,
    complete = UPLOAD_DURABILITY_COMPLETE,
    chunk = UPLOAD_DURABILITY_CHUNK
};

/* The options of a store; see upload_options. They begin with the default values. The setters can be
 * chained, and throw if a value is refused:
 *
 *     chunked_upload::store store("uploads", chunked_upload::options().prefix("u_").file_mode(0640));
 */
class options {
public:
    options() : handle_(upload_options_new())
    {
        if (!handle_)
            throw error(UPLOAD_INTERNAL, "no options");
    }
    static options adopt(upload_options *handle) noexcept { return options(handle); }
    upload_options *native_handle() const noexcept { return handle_.get(); }
    upload_options *release() noexcept { return handle_.release(); }

    options &max_total_size(std::uint64_t bytes) { return set(upload_options_set_max_total_size, bytes); }
    options &max_chunk_count(std::uint64_t chunks) { return set(upload_options_set_max_chunk_count, chunks); }
    options &min_free_space(std::uint64_t bytes) { return set(upload_options_set_min_free_space, bytes); }
    options &max_store_size(std::uint64_t bytes) { return set(upload_options_set_max_store_size, bytes); }
    options &max_uploads(std::uint64_t uploads) { return set(upload_options_set_max_uploads, uploads); }
    options &all_owners(bool all = true) { return set(upload_options_set_all_owners, std::int32_t{all}); }
    options &durability(chunked_upload::durability level)
    {
        return set(upload_options_set_durability, static_cast<std::int32_t>(level));
    }
    options &prefix(const std::string &text)
    {
        return set(upload_options_set_prefix, detail::c_string(text, "prefix"));
    }
    options &dir_mode(std::uint32_t mode) { return set(upload_options_set_dir_mode, mode); }
    options &file_mode(std::uint32_t mode) { return set(upload_options_set_file_mode, mode); }

private:
    explicit options(upload_options *handle) noexcept : handle_(handle) {}

    template <typename Value>
    options &set(upload_result (*setter)(upload_options *, Value), Value value)
    {
        if (setter(native_handle(), value) != UPLOAD_OK)
            detail::call(upload_options_last_error, native_handle());
        return *this;
    }

    detail::owner<upload_options> handle_;
};

/* A finished upload; see upload_finished. Destroying it leaves the file where it is. */
class finished {
public:
    static finished adopt(upload_finished *handle) noexcept { return finished(handle); }
    upload_finished *native_handle() const noexcept { return handle_.get(); }
    upload_finished *release() noexcept { return handle_.release(); }

    std::string uid() const { return detail::text(upload_finished_uid(alive())); }
    /* The absolute path of the file. A path in the store contains the uid. */
    std::string path() const { return detail::text(upload_finished_path(alive())); }
    /* The client's name for the file. It may be any text: do not use it as a path. */
    std::string file_name() const { return detail::text(upload_finished_file_name(alive())); }
    std::uint64_t total_size() const { return upload_finished_total_size(alive()); }
    std::uint32_t crc32c() const { return upload_finished_crc32c(alive()); }

private:
    explicit finished(upload_finished *handle) noexcept : handle_(handle) {}

    const upload_finished *alive() const
    {
        if (!handle_)
            throw error(UPLOAD_INVALID_ARGUMENT, "finished was moved from");
        return handle_.get();
    }

    detail::owner<upload_finished> handle_;
};

/* A list of the uploads in a store; see upload_list. Only one thread at a time may use it. Call next()
 * until it returns no value, or write
 *
 *     for (const chunked_upload::listed &upload : store.list())
 *
 * For an upload that cannot be read both throw. next() then continues with the next upload. */
class list {
public:
    static list adopt(upload_list *handle) noexcept { return list(handle); }
    upload_list *native_handle() const noexcept { return handle_.get(); }
    upload_list *release() noexcept { return handle_.release(); }

    std::optional<listed> next()
    {
        const auto found = detail::made<upload_listed>(upload_list_next, native_handle());
        const upload_listed *raw = found.get();
        if (raw == nullptr)
            return std::nullopt;
        return listed{detail::text(upload_listed_uid(raw)),      detail::text(upload_listed_file_name(raw)),
                      upload_listed_total_size(raw),             upload_listed_chunk_count(raw),
                      static_cast<phase>(upload_listed_phase(raw)), detail::time(upload_listed_last_activity(raw))};
    }

    struct end_of_list {};

    /* An input iterator, also in C++20. A list can be read only once. */
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = listed;
        using difference_type = std::ptrdiff_t;
        using pointer = const listed *;
        using reference = const listed &;

        iterator() = default;
        explicit iterator(list &of) : list_(&of), now_(of.next()) {}
        reference operator*() const { return *now_; }
        pointer operator->() const { return &*now_; }
        iterator &operator++()
        {
            now_ = list_->next();
            return *this;
        }
        iterator operator++(int)
        {
            iterator before = *this;
            ++*this;
            return before;
        }
        friend bool operator==(const iterator &at, end_of_list) noexcept { return !at.now_; }
        friend bool operator==(end_of_list, const iterator &at) noexcept { return !at.now_; }
        friend bool operator!=(const iterator &at, end_of_list) noexcept { return at.now_.has_value(); }
        friend bool operator!=(end_of_list, const iterator &at) noexcept { return at.now_.has_value(); }

    private:
        list *list_ = nullptr;
        std::optional<listed> now_{};
    };

    iterator begin() { return iterator(*this); }
    end_of_list end() const noexcept { return end_of_list(); }

private:
    explicit list(upload_list *handle) noexcept : handle_(handle) {}

    detail::owner<upload_list> handle_;
};

/* A directory that receives uploads; see upload_store. Any number of threads may call its const functions at
 * once, and so may the children of a fork. */
class store {
public:
    explicit store(const std::string &path) : store(path, nullptr) {}
    store(const std::string &path, const options &with) : store(path, checked(with)) {}
    static store adopt(upload_store *handle) noexcept { return store(handle); }
    upload_store *native_handle() const noexcept { return handle_.get(); }
    upload_store *release() noexcept { return handle_.release(); }

    /* Receives one chunk; see upload_handle_chunk. */
    receipt handle_chunk(const chunk &chunk) const
    {
        upload_chunk raw = UPLOAD_CHUNK_INIT;
        raw.upload_uid = detail::c_uid(chunk.upload_uid);
        raw.file_name = detail::c_string(chunk.file_name, "file_name");
        raw.total_size = chunk.total_size;
        raw.chunk_number = chunk.chunk_number;
        raw.chunk_count = chunk.chunk_count;
        raw.content = chunk.content.data();
        raw.content_size = chunk.content.size();
        raw.upload_key = chunk.upload_key.data();
        raw.upload_key_size = chunk.upload_key.size();
        raw.checksum = detail::c_string(chunk.checksum, "checksum");
        raw.file_digest = detail::c_string(chunk.file_digest, "file_digest");
        upload_receipt answer = UPLOAD_RECEIPT_INIT;
        detail::call(upload_handle_chunk, native_handle(), &raw, &answer);
        return receipt{answer.upload_uid, answer.received_all != 0};
    }

    /* The assembled file of an upload; see upload_get. */
    finished get(const std::string &uid) const
    {
        auto file = detail::made<upload_finished>(upload_get, native_handle(), detail::c_uid(uid));
        return finished::adopt(file.release());
    }

    /* A view of the store for one owner; see upload_store_for_owner. */
    store for_owner(bytes_view owner) const
    {
        return adopt(
            detail::made<upload_store>(upload_store_for_owner, native_handle(), owner.data(), owner.size()).release());
    }

    /* The uid that belongs to a key; see upload_uid_for_key. */
    std::string uid_for_key(bytes_view upload_key) const
    {
        char uid[UPLOAD_UID_SIZE];
        detail::call(upload_uid_for_key, native_handle(), upload_key.data(), upload_key.size(), uid);
        return uid;
    }

    /* The state of an upload, with its missing chunks from from_chunk on; see upload_inspect. */
    inspection inspect(const std::string &uid, std::uint64_t from_chunk = 0) const
    {
        const char *c_uid = detail::c_uid(uid);
        const auto answer = detail::made<upload_inspection>(upload_inspect, native_handle(), c_uid, from_chunk);
        const upload_inspection *raw = answer.get();
        inspection seen;
        seen.uid = detail::text(upload_inspection_uid(raw));
        seen.file_name = detail::text(upload_inspection_file_name(raw));
        seen.total_size = upload_inspection_total_size(raw);
        seen.chunk_count = upload_inspection_chunk_count(raw);
        seen.received_size = upload_inspection_received_size(raw);
        seen.received_count = upload_inspection_received_count(raw);
        seen.phase = static_cast<phase>(upload_inspection_phase(raw));
        seen.last_activity = detail::time(upload_inspection_last_activity(raw));
        for (std::size_t i = 0; i < upload_inspection_missing_ranges(raw); i++)
            seen.missing.push_back({upload_inspection_range_first(raw, i), upload_inspection_range_count(raw, i)});
        if (upload_inspection_next_chunk(raw) != 0)
            seen.next_chunk = upload_inspection_next_chunk(raw);
        return seen;
    }

    /* Compares the stored bytes with their checksums; see upload_verify. */
    verification verify(const std::string &uid) const
    {
        const auto answer = detail::made<upload_verification>(upload_verify, native_handle(), detail::c_uid(uid));
        const upload_verification *raw = answer.get();
        verification found;
        found.phase = static_cast<phase>(upload_verification_phase(raw));
        found.checked_count = upload_verification_checked_count(raw);
        found.damaged_count = upload_verification_damaged_count(raw);
        for (std::size_t i = 0; i < upload_verification_damaged_ranges(raw); i++)
            found.damaged.push_back({upload_verification_range_first(raw, i), upload_verification_range_count(raw, i)});
        return found;
    }

    /* Moves the assembled file to its permanent place; see upload_move_to. */
    finished move_to(const std::string &uid, const std::string &destination, bool overwrite = false) const
    {
        const char *c_path = detail::c_string(destination, "destination");
        const char *c_uid = detail::c_uid(uid);
        auto file = detail::made<upload_finished>(upload_move_to, native_handle(), c_uid, c_path, overwrite ? 1 : 0);
        return finished::adopt(file.release());
    }

    /* Removes an upload in any phase; see upload_remove. */
    void remove(const std::string &uid) const
    {
        detail::call(upload_remove, native_handle(), detail::c_uid(uid));
    }

    /* Removes uploads without recent activity; see upload_cleanup. */
    cleaned cleanup(const expiry &what) const
    {
        upload_expiry raw = UPLOAD_EXPIRY_INIT;
        raw.unfinished_age = detail::age(what.unfinished, "unfinished_age");
        raw.finished_age = detail::age(what.finished, "finished_age");
        raw.gone_age = detail::age(what.gone, "gone_age");
        raw.max_removals = what.max_removals;
        raw.dry_run = what.dry_run ? 1 : 0;
        upload_cleaned answer = UPLOAD_CLEANED_INIT;
        detail::call(upload_cleanup, native_handle(), &raw, &answer);
        return cleaned{answer.unfinished, answer.finished, answer.gone, answer.leftovers, answer.failed, answer.more != 0};
    }

    /* The uploads that this store sees; see upload_list_open. */
    chunked_upload::list list() const
    {
        return chunked_upload::list::adopt(detail::made<upload_list>(upload_list_open, native_handle()).release());
    }

private:
    explicit store(upload_store *handle) noexcept : handle_(handle) {}

    /* NULL would mean the default options: moved-from options must not remove the limits. */
    static const upload_options *checked(const options &with)
    {
        if (with.native_handle() == nullptr)
            throw error(UPLOAD_INVALID_ARGUMENT, "options were moved from", "options");
        return with.native_handle();
    }

    store(const std::string &path, const upload_options *with)
        : handle_(detail::made<upload_store>(
              upload_store_open, detail::c_string(path, "path"), with))
    {
    }

    detail::owner<upload_store> handle_;
};

/* The version of the running library. UPLOAD_VERSION is the version of the headers. */
inline std::string version() { return upload_version(); }

/* The version of the running library as a number, to compare with UPLOAD_VERSION_NUMBER. */
inline std::uint32_t version_number() noexcept { return upload_version_number(); }

namespace detail {

template <typename Class>
constexpr bool is_a_handle = sizeof(Class) == sizeof(void *) && std::is_nothrow_move_constructible_v<Class> &&
                             std::is_nothrow_move_assignable_v<Class> && std::is_nothrow_destructible_v<Class> &&
                             !std::is_copy_constructible_v<Class> && !std::is_copy_assignable_v<Class>;
static_assert(is_a_handle<store> && is_a_handle<options> && is_a_handle<finished> && is_a_handle<list>,
              "they own one handle");
static_assert(std::is_nothrow_copy_constructible_v<error>, "an exception is copied while it is thrown");

/* The compiler must lay out the structs as the library does. */
static_assert(sizeof(upload_result) == 4 && sizeof(upload_chunk) == 96 && sizeof(upload_receipt) == 80, "ABI");
static_assert(offsetof(upload_chunk, file_digest) == 88 && offsetof(upload_receipt, received_all) == 72, "ABI");

} // namespace detail

} // namespace chunked_upload

#endif
