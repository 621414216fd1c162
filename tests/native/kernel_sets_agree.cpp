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

#include "bitnet/kernels.hpp"
#include "bitnet/model.hpp"

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

void compare_ternary(Shape shape) {
    const auto cols = std::size_t(shape.cols), tokens = std::size_t(shape.tokens);
    const auto codes = integers<std::int8_t>(tokens * cols, -128, 127);
    const auto bytes = integers<std::uint8_t>(std::size_t(shape.rows) * cols, 0, 242);
    std::vector<std::int32_t> sums(tokens);
    std::vector<std::int16_t> block_sums(tokens * cols / 16);
    for (std::size_t i = 0; i < codes.size(); ++i) {
        sums[i / cols] += codes[i];
        block_sums[i / 16] = std::int16_t(block_sums[i / 16] + codes[i]);
    }
    const std::vector<float> scales = floats(tokens * std::max<std::size_t>(1, cols / block_q8_k));
    const auto run = [&](MatMul multiply, Format format) {
        const Rows rows{bytes.data(), row_bytes(format, shape.cols), shape.rows, shape.cols, 0.3f};
        const Activations x{.tokens = shape.tokens,
                            .stride = cols,
                            .codes = codes.data(),
                            .scales = scales.data(),
                            .sums = sums.data(),
                            .block_sums = block_sums.data()};
        std::vector<float> out(tokens * std::size_t(shape.rows));
        multiply(rows, x, out.data(), std::size_t(shape.rows));
        Bytes result;
        append(result, out);
        return result;
    };
    const std::string size = std::to_string(shape.rows) + " x " + std::to_string(shape.tokens);
    compare("i2_s " + size, [&](const KernelSet& set) { return run(set.i2_s, Format::i2_s); });
    if (shape.cols % block_q8_k != 0) return;
    compare("tq1_0 " + size, [&](const KernelSet& set) { return run(set.tq1_0, Format::tq1_0); });
    compare("tq2_0 " + size, [&](const KernelSet& set) { return run(set.tq2_0, Format::tq2_0); });
    compare("tq1_0_apart " + size, [&](const KernelSet& set) { return run(set.tq1_0_apart, Format::tq1_0); });
    compare("tq2_0_apart " + size, [&](const KernelSet& set) { return run(set.tq2_0_apart, Format::tq2_0); });
    compare("tq1_0_in_one_sum " + size,
            [&](const KernelSet& set) { return run(set.tq1_0_in_one_sum, Format::tq1_0); });
    compare("tq2_0_in_one_sum " + size,
            [&](const KernelSet& set) { return run(set.tq2_0_in_one_sum, Format::tq2_0); });
}

void compare_floats(Shape shape) {
    const auto cols = std::size_t(shape.cols), tokens = std::size_t(shape.tokens);
    const std::vector<float> weights = floats(std::size_t(shape.rows) * cols), values = floats(tokens * cols);
    const auto halves = integers<std::uint16_t>(weights.size(), 0x3000, 0x4400);
    const auto run = [&](MatMul multiply, Format format) {
        const bool wide = format == Format::f32;
        const auto* data = wide ? reinterpret_cast<const std::uint8_t*>(weights.data())
                                : reinterpret_cast<const std::uint8_t*>(halves.data());
        const Rows rows{data, row_bytes(format, shape.cols), shape.rows, shape.cols, 1.0f};
        const Activations x{.tokens = shape.tokens, .stride = cols, .f32 = values.data()};
        std::vector<float> out(tokens * std::size_t(shape.rows));
        multiply(rows, x, out.data(), std::size_t(shape.rows));
        Bytes result;
        append(result, out);
        return result;
    };
    for (const Order order : every_order) {
        const std::string name = " " + std::to_string(shape.cols) + " in order " + std::to_string(int(order));
        const auto compare_both = [&](const char* what, Format format, MatMul OrderedKernels::* dot,
                                      MatMul OrderedKernels::* tile) {
            compare(what + (" dot" + name),
                    [&](const KernelSet& set) { return run(set.in(order).*dot, format); });
            if (shape.cols % tile_step(order, format) != 0) return;
            compare(what + (" tile" + name),
                    [&](const KernelSet& set) { return run(set.in(order).*tile, format); });
        };
        compare_both("f32", Format::f32, &OrderedKernels::f32_dot, &OrderedKernels::f32_tile);
        compare_both("f32 of gcc", Format::f32, &OrderedKernels::f32_dot_gcc, &OrderedKernels::f32_tile);
        compare_both("f16", Format::f16, &OrderedKernels::f16_dot, &OrderedKernels::f16_tile);
        compare_both("bf16", Format::bf16, &OrderedKernels::bf16_dot, &OrderedKernels::bf16_tile);
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
    for (const Shape shape : {Shape{1, 1, 128}, {5, 1, 256}, {3, 2, 768}, {4, 4, 1920}, {7, 9, 2560}}) {
        compare_ternary(shape);
    }
    for (const Shape shape : {Shape{1, 1, 1}, {3, 2, 33}, {5, 1, 64}, {4, 4, 72}, {7, 13, 96}, {9, 7, 256}})
        compare_floats(shape);
    for (const KernelSet* set : kernel_sets())
        std::printf("%s%s\n", set->name, set->runs_here() ? " runs" : "");
    return std::min(differences, 255);
}
