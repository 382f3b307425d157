// Replays a transcript of tests/vectors, in the form that tests/c/replay.c describes.

#include "check.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <sstream>
#include <vector>

namespace cu = chunked_upload;

using words = std::vector<std::string>;
using facts = std::map<std::string, std::string>;

struct step {
    facts arguments;
    std::string content;
    facts expected;
    std::optional<std::string> expected_content;
    std::string save_uid;
};

static words split(const std::string &line)
{
    words found(1);
    for (const char c : line)
        if (c == '\t')
            found.emplace_back();
        else
            found.back() += c;
    return found;
}

static std::string pattern(const std::string &hex, const std::string &size)
{
    std::string period, content;
    for (std::size_t i = 0; i < hex.size(); i += 2)
        period += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    for (std::uint64_t left = std::stoull(size); left > 0; left--)
        content += period[content.size() % period.size()];
    return content;
}

class replay {
public:
    replay(std::filesystem::path directory) : directory_(std::move(directory)) {}

    void line(const words &line)
    {
        if (line.at(0) == "option")
            return set_option(line.at(1), line.at(2));
        if (!store_)
            store_.emplace((directory_ / "store").string(), options_);
        if (line[0] == "content")
            now_.content = pattern(line.at(1), line.at(2));
        else if (line[0] == "expect" && line.at(1) == "content")
            now_.expected_content = pattern(line.at(2), line.at(3));
        else if (line[0] == "expect")
            now_.expected[line.at(1)] = line.at(2);
        else if (line[0] == "save_uid")
            now_.save_uid = line.at(1);
        else if (line[0] == "end")
            perform(std::exchange(now_, step()));
        else
            now_.arguments[line[0]] = line.at(1);
    }

private:
    void set_option(const std::string &name, const std::string &value)
    {
        if (name == "max_total_size")
            options_.max_total_size(std::stoull(value));
        else if (name == "max_chunk_count")
            options_.max_chunk_count(std::stoull(value));
        else if (name == "max_store_size")
            options_.max_store_size(std::stoull(value));
        else if (name == "max_uploads")
            options_.max_uploads(std::stoull(value));
        else if (name == "all_owners")
            options_.all_owners(value == "true");
        else if (name == "min_free_space")
            options_.min_free_space(std::stoull(value));
        else if (name == "prefix")
            options_.prefix(value);
        else if (name == "dir_mode")
            options_.dir_mode(static_cast<std::uint32_t>(std::stoul(value)));
        else if (name == "file_mode")
            options_.file_mode(static_cast<std::uint32_t>(std::stoul(value)));
        else if (name == "durability")
            options_.durability(value == "chunk"      ? cu::durability::chunk
                                : value == "complete" ? cu::durability::complete
                                                      : cu::durability::process);
        else
            throw std::invalid_argument("option " + name);
    }

    std::string uid(const std::string &text) const { return text.substr(0, 1) == "$" ? saved_.at(text.substr(1)) : text; }

    static std::string argument(const step &step, const char *name)
    {
        const auto found = step.arguments.find(name);
        return found == step.arguments.end() ? std::string() : found->second;
    }

    cu::chunk chunk_of(const step &step) const
    {
        const auto number = [&](const char *name) { return std::stoull(step.arguments.at(name)); };
        cu::chunk chunk;
        chunk.upload_uid = uid(step.arguments.at("upload_uid"));
        chunk.file_name = argument(step, "file_name");
        chunk.checksum = argument(step, "checksum");
        chunk.file_digest = argument(step, "file_digest");
        if (step.arguments.count("upload_key") != 0)
            chunk.upload_key = step.arguments.at("upload_key");
        chunk.total_size = number("total_size");
        chunk.chunk_number = number("chunk_number");
        chunk.chunk_count = number("chunk_count");
        chunk.content = step.content;
        return chunk;
    }

    static facts facts_of(const cu::finished &finished, const step &step)
    {
        CHECK(!step.expected_content || content_of(finished.path()) == *step.expected_content);
        return {{"file_name", finished.file_name()},
                {"total_size", std::to_string(finished.total_size())},
                {"crc32c", std::to_string(finished.crc32c())}};
    }

    static std::string text(const std::vector<cu::chunk_range> &ranges)
    {
        std::string text;
        for (const cu::chunk_range &range : ranges)
            text += (text.empty() ? "[" : ",[") + std::to_string(range.first) + "," + std::to_string(range.count) + "]";
        return "[" + text + "]";
    }

    static std::string text(cu::phase phase)
    {
        return phase == cu::phase::receiving ? "receiving" : phase == cu::phase::complete ? "complete" : "gone";
    }

    static facts facts_of(const cu::inspection &seen)
    {
        return {{"file_name", seen.file_name},
                {"total_size", std::to_string(seen.total_size)},
                {"chunk_count", std::to_string(seen.chunk_count)},
                {"received_size", std::to_string(seen.received_size)},
                {"received_count", std::to_string(seen.received_count)},
                {"phase", text(seen.phase)},
                {"missing", text(seen.missing)},
                {"next_chunk", std::to_string(seen.next_chunk.value_or(0))}};
    }

    static facts facts_of(const cu::verification &found)
    {
        return {{"phase", text(found.phase)},
                {"checked_count", std::to_string(found.checked_count)},
                {"damaged_count", std::to_string(found.damaged_count)},
                {"damaged", text(found.damaged)}};
    }

    static facts facts_of(const cu::cleaned &cleaned)
    {
        return {{"unfinished", std::to_string(cleaned.unfinished)},
                {"finished", std::to_string(cleaned.finished)},
                {"gone", std::to_string(cleaned.gone)},
                {"leftovers", std::to_string(cleaned.leftovers)}};
    }

    void damage(const step &step)
    {
        const auto path = directory_ / "store" / uid(step.arguments.at("uid")) / step.arguments.at("name");
        std::string content = content_of(path.string());
        content.at(std::stoul(step.arguments.at("at"))) ^= 1;
        std::ofstream(path, std::ios::binary) << content;
    }

    // What the call answered, under the names of a transcript.
    facts call(const cu::store &store, const step &step)
    {
        const std::string &call = step.arguments.at("call");
        const std::string uid = this->uid(argument(step, "uid"));
        const auto is = [&](const char *name) { return argument(step, name) == "true"; };
        if (call == "handle_chunk") {
            const cu::receipt receipt = store.handle_chunk(chunk_of(step));
            if (!step.save_uid.empty())
                saved_[step.save_uid] = receipt.upload_uid;
            return {{"received_all", receipt.received_all ? "true" : "false"}};
        }
        if (call == "get") {
            return facts_of(store.get(uid), step);
        }
        if (call == "move_to") {
            const std::string destination = (directory_ / step.arguments.at("destination")).string();
            return facts_of(store.move_to(uid, destination, is("overwrite")), step);
        }
        if (call == "uid_for_key") {
            const std::string found = store.uid_for_key(step.arguments.at("upload_key"));
            saved_[step.save_uid] = found;
            return {};
        }
        if (call == "same") {
            CHECK(uid == this->uid(step.arguments.at("other")));
            return {};
        }
        if (call == "inspect") {
            const std::string from = argument(step, "from_chunk");
            return facts_of(store.inspect(uid, from.empty() ? 0 : std::stoull(from)));
        }
        if (call == "verify")
            return facts_of(store.verify(uid));
        if (call == "damage") {
            damage(step);
            return {};
        }
        if (call == "remove") {
            store.remove(uid);
            return {};
        }
        if (call == "cleanup") {
            const std::chrono::seconds now(0);
            return facts_of(store.cleanup({now, now, now, 1000, is("dry_run")}));
        }
        if (call == "take") {
            const std::string taken = "taken" + std::to_string(taken_++);
            std::filesystem::rename(store.get(uid).path(), directory_ / taken);
            return {};
        }
        CHECK(call == "list");
        std::error_code absent;
        const std::filesystem::directory_iterator entries(directory_ / "store", absent);
        int uploads = 0;
        for (const cu::listed &upload : store.list())
            uploads += !upload.uid.empty();
        return {{"uploads", std::to_string(uploads)},
                {"entries", std::to_string(std::distance(begin(entries), end(entries)))}};
    }

    void perform(const step &step)
    {
        facts got;
        try {
            const std::string owner = argument(step, "owner");
            got = owner.empty() ? call(*store_, step) : call(store_->for_owner(owner), step);
            got["result"] = "ok";
        } catch (const cu::error &error) {
            got = {{"result", error.name()},
                   {"missing_count", std::to_string(error.missing_count())},
                   {"first_missing", std::to_string(error.first_missing())},
                   {"limit", error.limit()},
                   {"limit_value", std::to_string(error.limit_value())},
                   {"received_size", std::to_string(error.received_size())},
                   {"declared_size", std::to_string(error.declared_size())}};
        }
        for (const auto &[name, value] : step.expected)
            if (got[name] != value)
                throw std::runtime_error(name + " is " + got[name] + ", expected " + value);
    }

    std::filesystem::path directory_;
    cu::options options_;
    std::optional<cu::store> store_;
    std::map<std::string, std::string> saved_;
    step now_;
    int taken_ = 0;
};

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    std::ifstream script(argv[2]);
    CHECK(script.good());
    replay replay(argv[1]);
    int number = 0;
    std::string line;
    while (std::getline(script, line)) {
        number++;
        try {
            replay.line(split(line));
        } catch (const std::exception &error) {
            std::cerr << argv[2] << ':' << number << ": " << error.what() << std::endl;
            return 1;
        }
    }
    return 0;
}
