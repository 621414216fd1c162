#include "library/arithmetic_names.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "library/bad_input.hpp"
#include "library/words.hpp"

namespace bitnet::library {
namespace {

struct GenerationRow {
    std::string_view name;
    Arithmetic usual;
};

constexpr std::array generations{
    GenerationRow{"bitnet.cpp", {Generation::bitnet_cpp, Order::avx2, Compiler::clang}},
    GenerationRow{"llama.cpp", {Generation::llama_cpp, Order::avx2, Compiler::gcc}},
};
constexpr std::array orders{
    std::pair<std::string_view, Order>{"avx2", Order::avx2},
    std::pair<std::string_view, Order>{"avx512", Order::avx512},
    std::pair<std::string_view, Order>{"avx512_bf16", Order::avx512_bf16},
    std::pair<std::string_view, Order>{"neon", Order::neon},
    std::pair<std::string_view, Order>{"neon_fp16", Order::neon_fp16},
};
constexpr std::array compilers{
    std::pair<std::string_view, Compiler>{"gcc", Compiler::gcc},
    std::pair<std::string_view, Compiler>{"clang", Compiler::clang},
};
constexpr std::string_view fused_sums = "fused_sums";

template <typename Rows, typename T>
bool find(const Rows& rows, std::string_view name, T& found) {
    for (const auto& [known, value] : rows) {
        if (known != name) continue;
        found = value;
        return true;
    }
    return false;
}

template <typename Rows, typename T>
std::string name_in(const Rows& rows, T value) {
    for (const auto& [name, known] : rows) {
        if (known == value) return std::string(name);
    }
    return "unknown";
}

std::string_view cut_first(std::string_view& text) {
    const std::size_t slash = text.find('/');
    const std::string_view first = text.substr(0, slash);
    text = slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1);
    return first;
}

const GenerationRow& generation_of(const Arithmetic& arithmetic) {
    return generations[arithmetic.generation == Generation::bitnet_cpp ? 0 : 1];
}

}  // namespace

Arithmetic arithmetic_named(std::string_view name) {
    std::string_view rest = name;
    const std::string_view first = cut_first(rest);
    Arithmetic arithmetic{};
    if (!find(generations, first, arithmetic)) {
        throw BadInput("arithmetic " + quoted(name) + " begins with " + quoted(first) +
                       "; there are bitnet.cpp, llama.cpp");
    }
    while (!rest.empty()) {
        const std::string_view axis = cut_first(rest);
        if (find(orders, axis, arithmetic.order) || find(compilers, axis, arithmetic.compiler)) continue;
        if (axis == fused_sums) {
            arithmetic.fuses_sums = true;
            continue;
        }
        std::vector<std::string> known;
        for (const auto& row : orders) known.emplace_back(row.first);
        for (const auto& row : compilers) known.emplace_back(row.first);
        known.emplace_back(fused_sums);
        throw BadInput("arithmetic " + quoted(name) + " has " + quoted(axis) + "; after " +
                       std::string(first) + " there may be " + joined(known));
    }
    return arithmetic;
}

std::string name_of(const Arithmetic& arithmetic) {
    return std::string(generation_of(arithmetic).name) + "/" + name_in(orders, arithmetic.order) + "/" +
           name_in(compilers, arithmetic.compiler) +
           (arithmetic.fuses_sums ? "/" + std::string(fused_sums) : "");
}

Arithmetic usual_arithmetic(const GgufFile& file, const Architecture& architecture) {
    const auto is_i2_s = [](const auto& entry) { return entry.second.format == Format::i2_s; };
    const bool has_i2_s = std::ranges::any_of(file.tensors(), is_i2_s);
    return generations[architecture.only_bitnet_cpp || has_i2_s ? 0 : 1].usual;
}

}  // namespace bitnet::library
