// Compares every kernel of every kernel set that runs here with the portable one, bit for bit, on random
// inputs. The Python tests do more; this program needs no Python, so it also runs for a foreign CPU under an
// emulator. Prints what differs; the exit status is the number of kernels that do, at most 255.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "bitnet/format_table.hpp"

using namespace bitnet;

namespace {

std::mt19937 engine(1);
int differences = 0;

std::vector<float> floats(std::size_t n, float spread = 1.0f) {
    std::normal_distribution<float> normal(0.0f, spread);
    std::vector<float> values(n);
    for (float& value : values) value = normal(engine);
    return values;
}

template <typename T>
std::vector<T> integers(std::size_t n, int low, int high) {
    std::uniform_int_distribution<int> any(low, high);
    std::vector<T> values(n);
    for (T& value : values) value = T(any(engine));
    return values;
}

using Bytes = std::vector<unsigned char>;

template <typename T>
void append(Bytes& bytes, const std::vector<T>& values) {
    const auto* data = reinterpret_cast<const unsigned char*>(values.data());
    bytes.insert(bytes.end(), data, data + values.size() * sizeof(T));
}

void compare(const std::string& what, const std::function<Bytes(const KernelSet&)>& run) {
    const Bytes expected = run(*find_kernel_set("portable"));
    for (const KernelSet* set : kernel_sets()) {
        if (!set->runs_here() || run(*set) == expected) continue;
        std::printf("%s: %s differs from portable\n", set->name, what.c_str());
        ++differences;
    }
}

void compare_quantisation(int n) {
    const std::vector<float> x = floats(std::size_t(n), 3.0f);
    compare("quantize_i8 " + std::to_string(n), [&](const KernelSet& set) {
        std::vector<std::int8_t> codes(x.size());
        std::vector<float> scale(1);
        std::vector<std::int32_t> sum(1);
        set.quantize_i8(x.data(), n, codes.data(), scale.data(), sum.data());
        Bytes result;
        append(result, codes), append(result, scale), append(result, sum);
        return result;
    });
    if (n % block_q8_0 != 0) return;
    compare("quantize_q8_0 " + std::to_string(n), [&](const KernelSet& set) {
        std::vector<std::int8_t> codes(x.size());
        std::vector<float> scales(x.size() / block_q8_0), sums(scales.size());
        set.quantize_q8_0(x.data(), n, codes.data(), scales.data(), sums.data());
        Bytes result;
        append(result, codes), append(result, scales), append(result, sums);
        return result;
    });
    if (n % block_q8_k != 0) return;
    compare("quantize_q8_k " + std::to_string(n), [&](const KernelSet& set) {
        std::vector<std::int8_t> codes(x.size());
        std::vector<float> scales(x.size() / block_q8_k);
        std::vector<std::int16_t> sums(x.size() / 16);
        set.quantize_q8_k(x.data(), n, codes.data(), scales.data(), sums.data());
        Bytes result;
        append(result, codes), append(result, scales), append(result, sums);
        return result;
    });
}

void compare_conversions(int n) {
    const std::vector<float> x = floats(std::size_t(n), 100.0f);
    compare("to_f16, from_f16, round_to " + std::to_string(n), [&](const KernelSet& set) {
        std::vector<std::uint16_t> half(x.size());
        std::vector<float> back(x.size()), f16(x.size()), bf16(x.size());
        set.to_f16(x.data(), n, half.data());
        set.from_f16(half.data(), n, back.data());
        set.round_to_f16(x.data(), n, f16.data());
        set.round_to_bf16(x.data(), n, bf16.data());
        Bytes result;
        append(result, half), append(result, back), append(result, f16), append(result, bf16);
        return result;
    });
}

constexpr Order every_order[order_count] = {Order::avx2, Order::avx512, Order::avx512_bf16, Order::neon,
                                            Order::neon_fp16};

struct Shape {
    int rows, tokens, cols;
};

bool is_met_by_q8_0(Format format) {
    const Arithmetic arithmetic{Generation::llama_cpp, Order::avx2, Compiler::gcc};
    return row_of(format).summing({1, row_of(format).block, 1}, arithmetic).encoding == Encoding::q8_0;
}

// Operands of every format: integers for codes of any kind, and floats that are no NaN where the bytes are floats.
struct Operands {
    std::vector<std::uint8_t> packed;
    std::vector<float> values, scales;
    std::vector<std::int8_t> codes;
    std::vector<std::int32_t> sums;
    std::vector<std::int16_t> block_sums;

    Operands(Format format, Shape shape) {
        const auto cols = std::size_t(shape.cols), tokens = std::size_t(shape.tokens);
        const std::size_t n = std::size_t(shape.rows) * cols;
        if (format == Format::f32) append(packed, floats(n));
        if (format == Format::f16 || format == Format::bf16)
            append(packed, integers<std::uint16_t>(n, 0x3000, 0x4400));
        if (packed.empty())
            packed = integers<std::uint8_t>(std::size_t(shape.rows) * row_bytes(format, shape.cols), 0, 123);
        if (format == Format::i2_s)  // its code 3 means nothing: tables have no entry for it
            for (std::uint8_t& four : packed) four = std::uint8_t(four & ~(four >> 1 & 0x55));
        values = floats(tokens * cols);
        scales = floats(tokens * cols);
        // Q8_0, whose largest value has the code 127 or -127, never has -128
        codes = integers<std::int8_t>(tokens * cols, is_met_by_q8_0(format) ? -127 : -128, 127);
        sums.resize(tokens);
        block_sums.resize(tokens * cols / 16 + 1);
        for (std::size_t i = 0; i < codes.size(); ++i) {
            sums[i / cols] += codes[i];
            block_sums[i / 16] = std::int16_t(block_sums[i / 16] + codes[i]);
        }
    }
};

void compare_matmul(Format format, Sums sums, Order order, Shape shape) {
    if (find_kernel_set("portable")->matmul(format, sums, order) == nullptr) return;
    if (shape.cols % row_of(format).block != 0) return;
    if (sums == Sums::tile && shape.cols % tile_step(order, format) != 0) return;
    const Operands operands(format, shape);
    const std::string name(row_of(format).name);
    const std::string what = name + " sums " + std::to_string(int(sums)) + " " + std::to_string(shape.rows) +
                             " x " + std::to_string(shape.tokens) + " x " + std::to_string(shape.cols) +
                             " in order " + std::to_string(int(order));
    compare(what, [&](const KernelSet& set) {
        const Rows rows{operands.packed.data(), row_bytes(format, shape.cols), shape.rows, shape.cols, 0.3f};
        const Activations x{.tokens = shape.tokens,
                            .stride = std::size_t(shape.cols),
                            .scale_stride = format == Format::i2_s ? 1 : std::size_t(shape.cols / 32 + 1),
                            .f32 = operands.values.data(),
                            .codes = operands.codes.data(),
                            .scales = operands.scales.data(),
                            .sums = operands.sums.data(),
                            .block_sums = operands.block_sums.data(),
                            .value_sums = operands.scales.data()};
        std::vector<float> out(std::size_t(shape.tokens) * std::size_t(shape.rows));
        set.matmul(format, sums, order)(rows, x, out.data(), std::size_t(shape.rows));
        Bytes result;
        append(result, out);
        return result;
    });
}

// Every kernel that there is; those that are the same in every order are compared once.
void compare_matmuls(Shape shape) {
    for (const FormatRow& row : format_rows()) {
        for (int sums = 0; sums < sums_count; ++sums) {
            for (const Order order : every_order) {
                compare_matmul(row.format, Sums(sums), order, shape);
                if (find_kernel_set("portable")->matmuls.of[int(row.format)][sums]) break;
            }
        }
    }
}

void compare_exponentials(int n) {
    const std::vector<float> x = floats(std::size_t(n), 20.0f), y = floats(std::size_t(n));
    for (const Order order : every_order) {
        const std::string name = " " + std::to_string(n) + " in order " + std::to_string(int(order));
        compare("silu_mul" + name, [&](const KernelSet& set) {
            std::vector<float> silu(x.size());
            set.in(order).silu_mul(x.data(), y.data(), n, silu.data());
            Bytes result;
            append(result, silu);
            return result;
        });
        if (n % 16 != 0) continue;
        compare("softmax" + name, [&](const KernelSet& set) {
            std::vector<float> row = x;
            set.in(order).softmax(row.data(), n, 7.0f);
            Bytes result;
            append(result, row);
            return result;
        });
    }
}

void compare_elementwise(int n) {
    const std::vector<float> x = floats(std::size_t(n), 20.0f), y = floats(std::size_t(n));
    compare("rms_norm, add, relu2_mul " + std::to_string(n), [&](const KernelSet& set) {
        std::vector<float> normed(x.size()), sum(x.size()), relu2(x.size());
        set.rms_norm(x.data(), y.data(), n, 1e-5f, normed.data());
        set.add(x.data(), y.data(), n, sum.data());
        set.relu2_mul(x.data(), y.data(), n, relu2.data());
        Bytes result;
        append(result, normed), append(result, sum), append(result, relu2);
        return result;
    });
    for (const bool neox : {true, false}) {
        compare("rotate " + std::to_string(n), [&](const KernelSet& set) {
            std::vector<float> turned = x;
            set.rotate(turned.data(), y.data(), y.data() + n / 2, n / 2, neox ? 1 : 2, neox ? n / 2 : 1);
            Bytes result;
            append(result, turned);
            return result;
        });
    }
}

}  // namespace

int main() {
    for (const int n : {1, 2, 7, 8, 31, 33, 256, 1280}) {
        compare_quantisation(n);
        compare_conversions(n);
        compare_elementwise(n);
        compare_exponentials(n);
    }
    for (const Shape shape : {Shape{1, 1, 1},
                              {3, 2, 33},
                              {5, 1, 64},
                              {4, 4, 72},
                              {7, 13, 96},
                              {9, 7, 256},
                              {1, 1, 128},
                              {5, 1, 256},
                              {3, 2, 768},
                              {4, 4, 1920},
                              {7, 9, 2560}})
        compare_matmuls(shape);
    compare_matmul(Format::i2_s, Sums::whole, Order::avx2,
                   {513, 33, 2048});  // tables of sums, which are widened
    for (const KernelSet* set : kernel_sets())
        std::printf("%s%s\n", set->name, set->runs_here() ? " runs" : "");
    return std::min(differences, 255);
}
