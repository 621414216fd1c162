#include "library/shards.hpp"

#include <cstdio>
#include <optional>

#include "library/bad_input.hpp"
#include "library/words.hpp"

namespace bitnet::library {
namespace {

constexpr std::string_view ending = "-00001-of-00003.gguf";  // five digits each

// What the name of a shard says of it.
struct ShardName {
    std::string before;          // all of the path before the numbers
    std::int64_t number, count;  // from 1 on

    std::string of(std::int64_t other) const {
        char numbers[64];
        std::snprintf(numbers, sizeof numbers, "-%05lld-of-%05lld.gguf", static_cast<long long>(other),
                      static_cast<long long>(count));
        return before + numbers;
    }
};

std::optional<ShardName> name_of(const std::string& path) {
    if (path.size() < ending.size()) return std::nullopt;
    const std::string_view found = std::string_view(path).substr(path.size() - ending.size());
    for (std::size_t i = 0; i < ending.size(); ++i) {
        const bool is_digit = found[i] >= '0' && found[i] <= '9';
        const bool must_be_digit = ending[i] >= '0' && ending[i] <= '9';
        if (must_be_digit ? !is_digit : found[i] != ending[i]) return std::nullopt;
    }
    return ShardName{path.substr(0, path.size() - ending.size()), std::stoll(std::string(found.substr(1, 5))),
                     std::stoll(std::string(found.substr(10, 5)))};
}

}  // namespace

bool is_of_shards(std::string_view key) { return key.starts_with("split."); }

std::vector<std::string> other_shards(const std::string& first, const Metadata& metadata) {
    const std::int64_t count = integer_in(metadata, "split.count").value_or(1);
    const std::int64_t number = integer_in(metadata, "split.no").value_or(0);
    if (count <= 1) return {};
    const auto name = name_of(first);
    if (number != 0) {
        throw BadInput("is shard " + std::to_string(number + 1) + " of " + std::to_string(count) +
                       " (split.count); name the first one" +
                       (name ? ": " + base_name(name->of(1)) : std::string()));
    }
    if (!name || name->number != 1 || name->count != count) {
        char needed[64];
        std::snprintf(needed, sizeof needed, "-00001-of-%05lld.gguf", static_cast<long long>(count));
        throw BadInput("is the first of " + std::to_string(count) +
                       " shards, and the others cannot be told from its name, which should end with " +
                       needed + "; name them so, or join them with `llama-gguf-split --merge`");
    }
    std::vector<std::string> others;
    for (std::int64_t other = 2; other <= count; ++other) others.push_back(name->of(other));
    return others;
}

void require_number(const Metadata& metadata, std::int64_t number) {
    const auto said = integer_in(metadata, "split.no");
    if (said == number) return;
    throw BadInput("it says split.no = " + (said ? std::to_string(*said) : std::string("nothing")) +
                   ", and its name says " + std::to_string(number) + "; download it again");
}

}  // namespace bitnet::library
