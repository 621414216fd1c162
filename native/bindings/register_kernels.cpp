// Kernels one by one, for tests and fuzzing: check the arguments, release the GIL, call.

#include <pybind11/stl.h>

#include <stdexcept>
#include <vector>

#include "bitnet/matmul.hpp"
#include "register.hpp"

namespace py = pybind11;
using namespace bitnet;

namespace {

constexpr std::pair<const char*, Order> order_names[] = {
    {"avx2", Order::avx2}, {"avx512", Order::avx512},       {"avx512_bf16", Order::avx512_bf16},
    {"neon", Order::neon}, {"neon_fp16", Order::neon_fp16},
};

constexpr std::pair<const char*, Sums> sums_names[] = {
    {"dot", Sums::dot},
    {"dot_gcc", Sums::dot_gcc},
    {"tile", Sums::tile},
    {"tile_rounded", Sums::tile_rounded},
    {"whole", Sums::whole},
    {"lanes", Sums::lanes},
    {"lanes_rounded", Sums::lanes_rounded},
    {"lanes_offset", Sums::lanes_offset},
    {"one", Sums::one},
    {"one_rounded", Sums::one_rounded},
    {"one_in_parts", Sums::one_in_parts},
};
static_assert(std::size(sums_names) == sums_count);

void require(bool condition, const std::string& message) {
    if (!condition) throw std::invalid_argument(message);
}

Sums sums_named(const std::string& name) {
    for (const auto& [known, sums] : sums_names) {
        if (name == known) return sums;
    }
    throw std::invalid_argument("'" + name + "' is no way to sum");
}

int length(const py::array& x) {
    require(x.ndim() == 1, "expected a vector, got " + std::to_string(x.ndim()) + " dimensions");
    return int(x.size());
}

py::tuple quantize_i8(const std::string& set, Array<float> x, Array<std::int8_t> codes) {
    const KernelSet& kernels = kernel_set(set);
    const int n = length(x);
    require(length(codes) == n, "quantize_i8: codes and x differ in length");
    float scale = 0;
    std::int32_t sum = 0;
    {
        py::gil_scoped_release release;
        kernels.quantize_i8(x.data(), n, codes.mutable_data(), &scale, &sum);
    }
    return py::make_tuple(scale, sum);
}

void quantize_q8_k(const std::string& set, bool fused, Array<float> x, Array<std::int8_t> codes,
                   Array<float> scales, Array<std::int16_t> block_sums) {
    const KernelSet& kernels = kernel_set(set);
    const int n = length(x);
    require(n % block_q8_k == 0, "quantize_q8_k: length " + std::to_string(n) + " is not a multiple of 256");
    require(length(codes) == n && length(scales) == n / block_q8_k && length(block_sums) == n / 16,
            "quantize_q8_k: an output has the wrong length");
    py::gil_scoped_release release;
    (fused ? kernels.quantize_q8_k_fused : kernels.quantize_q8_k)(
        x.data(), n, codes.mutable_data(), scales.mutable_data(), block_sums.mutable_data());
}

void quantize_q8_0(const std::string& set, Array<float> x, Array<std::int8_t> codes, Array<float> scales,
                   Array<float> value_sums) {
    const KernelSet& kernels = kernel_set(set);
    const int n = length(x);
    require(n % block_q8_0 == 0, "quantize_q8_0: length " + std::to_string(n) + " is not a multiple of 32");
    require(length(codes) == n && length(scales) == n / block_q8_0 && length(value_sums) == n / block_q8_0,
            "quantize_q8_0: an output has the wrong length");
    py::gil_scoped_release release;
    kernels.quantize_q8_0(x.data(), n, codes.mutable_data(), scales.mutable_data(),
                          value_sums.mutable_data());
}

struct Operands {
    Rows rows;
    int tokens;
    std::size_t out_stride;
};

Operands check_matmul(const std::string& format_name, const Array<std::uint8_t>& packed, int cols,
                      const py::array& x, const Array<float>& out, float scale) {
    const FormatRow& format = format_named(format_name);
    require(cols > 0 && cols % format.block == 0,
            "matmul: " + std::to_string(cols) + " columns are not a multiple of the block of " + format_name);
    require(x.ndim() == 2 && x.shape(1) == cols, "matmul: x is not (tokens, cols)");
    require(out.ndim() == 2 && out.shape(0) == x.shape(0), "matmul: out is not (tokens, rows)");
    const int rows = int(out.shape(1));
    const std::size_t bytes = row_bytes(format.format, cols);
    require(packed.size() == py::ssize_t(bytes) * rows, "matmul: weights have the wrong size");
    return {{packed.data(), bytes, rows, cols, scale}, int(x.shape(0)), std::size_t(rows)};
}

void matmul_i2_s(const std::string& set, Array<std::uint8_t> packed, float weight_scale,
                 Array<std::int8_t> codes, Array<float> scales, Array<std::int32_t> sums, Array<float> out) {
    const KernelSet& kernels = kernel_set(set);
    require(codes.ndim() == 2, "matmul_i2_s: codes is not (tokens, cols)");
    const Operands op = check_matmul("I2_S", packed, int(codes.shape(1)), codes, out, weight_scale);
    require(length(scales) == op.tokens && length(sums) == op.tokens,
            "matmul_i2_s: one scale and sum a token");
    const Activations x{.tokens = op.tokens,
                        .stride = std::size_t(op.rows.cols),
                        .scale_stride = 1,
                        .codes = codes.data(),
                        .scales = scales.data(),
                        .sums = sums.data()};
    py::gil_scoped_release release;
    kernels.matmul(Format::i2_s, Sums::whole, Order::avx2)(op.rows, x, out.mutable_data(), op.out_stride);
}

void matmul_q8_k(const std::string& set, const std::string& format, const std::string& sums,
                 Array<std::uint8_t> packed, Array<std::int8_t> codes, Array<float> scales,
                 Array<std::int16_t> block_sums, Array<float> out) {
    const KernelSet& kernels = kernel_set(set);
    const MatMul multiply = kernels.matmul(format_named(format).format, sums_named(sums), Order::avx2);
    require(multiply != nullptr, "matmul_q8_k: " + format + " is never summed by '" + sums + "'");
    require(codes.ndim() == 2, "matmul_q8_k: codes is not (tokens, cols)");
    const Operands op = check_matmul(format, packed, int(codes.shape(1)), codes, out, 1.0f);
    require(scales.size() == codes.size() / block_q8_k && block_sums.size() == codes.size() / 16,
            "matmul_q8_k: scales or block_sums have the wrong size");
    const Activations x{.tokens = op.tokens,
                        .stride = std::size_t(op.rows.cols),
                        .scale_stride = std::size_t(op.rows.cols / block_q8_k),
                        .codes = codes.data(),
                        .scales = scales.data(),
                        .block_sums = block_sums.data()};
    py::gil_scoped_release release;
    multiply(op.rows, x, out.mutable_data(), op.out_stride);
}

void matmul_q8_0(const std::string& set, const std::string& format, const std::string& sums,
                 Array<std::uint8_t> packed, Array<std::int8_t> codes, Array<float> scales,
                 Array<float> value_sums, Array<float> out) {
    const KernelSet& kernels = kernel_set(set);
    const MatMul multiply = kernels.matmul(format_named(format).format, sums_named(sums), Order::avx2);
    require(multiply != nullptr, "matmul_q8_0: " + format + " is never summed by '" + sums + "'");
    require(codes.ndim() == 2, "matmul_q8_0: codes is not (tokens, cols)");
    const Operands op = check_matmul(format, packed, int(codes.shape(1)), codes, out, 1.0f);
    require(scales.size() == codes.size() / block_q8_0 && value_sums.size() == scales.size(),
            "matmul_q8_0: scales or value_sums have the wrong size");
    const Activations x{.tokens = op.tokens,
                        .stride = std::size_t(op.rows.cols),
                        .scale_stride = std::size_t(op.rows.cols / block_q8_0),
                        .codes = codes.data(),
                        .scales = scales.data(),
                        .value_sums = value_sums.data()};
    py::gil_scoped_release release;
    multiply(op.rows, x, out.mutable_data(), op.out_stride);
}

// The sums that the format has in some arithmetic, by name.
std::vector<std::string> sums_of(const std::string& format) {
    const KernelSet& kernels = kernel_set("portable");
    std::vector<std::string> names;
    for (const auto& [name, sums] : sums_names) {
        if (kernels.matmul(format_named(format).format, sums, Order::avx2)) names.emplace_back(name);
    }
    return names;
}

void matmul_float(const std::string& set, const std::string& order_name, const std::string& format,
                  const std::string& sum, Array<std::uint8_t> packed, Array<float> x, Array<float> out) {
    const Order order = order_of(order_name);
    require(x.ndim() == 2, "matmul_float: x is not (tokens, cols)");
    const Sums sums = sums_named(sum);
    const MatMul multiply = kernel_set(set).in(order).matmuls.of[int(format_named(format).format)][int(sums)];
    require(multiply != nullptr, "matmul_float: " + format + " is never summed by '" + sum + "'");
    const int step = tile_step(order, format_named(format).format);
    require(sums != Sums::tile || x.shape(1) % step == 0,
            "matmul_float: a tile needs a multiple of " + std::to_string(step) + " columns");
    const Operands op = check_matmul(format, packed, int(x.shape(1)), x, out, 1.0f);
    const Activations activations{.tokens = op.tokens, .stride = std::size_t(op.rows.cols), .f32 = x.data()};
    py::gil_scoped_release release;
    multiply(op.rows, activations, out.mutable_data(), op.out_stride);
}

void convert(const std::string& set, const std::string& what, Array<float> x, Array<float> out) {
    const KernelSet& kernels = kernel_set(set);
    require(what == "F16" || what == "BF16", "round_to: " + what + " is neither F16 nor BF16");
    const int n = length(x);
    require(length(out) == n, "round_to: out and x differ in length");
    py::gil_scoped_release release;
    (what == "F16" ? kernels.round_to_f16 : kernels.round_to_bf16)(x.data(), n, out.mutable_data());
}

void to_f16(const std::string& set, Array<float> x, Array<std::uint16_t> out) {
    const KernelSet& kernels = kernel_set(set);
    require(length(out) == length(x), "to_f16: out and x differ in length");
    kernels.to_f16(x.data(), int(x.size()), out.mutable_data());
}

void from_f16(const std::string& set, Array<std::uint16_t> x, Array<float> out) {
    const KernelSet& kernels = kernel_set(set);
    require(length(out) == length(x), "from_f16: out and x differ in length");
    kernels.from_f16(x.data(), int(x.size()), out.mutable_data());
}

void rms_norm(const std::string& set, Array<float> x, Array<float> weight, float eps, Array<float> out) {
    const KernelSet& kernels = kernel_set(set);
    const int n = length(x);
    require(length(weight) == n && length(out) == n, "rms_norm: arguments differ in length");
    py::gil_scoped_release release;
    kernels.rms_norm(x.data(), weight.data(), n, eps, out.mutable_data());
}

void softmax(const std::string& set, const std::string& order, Array<float> row, float scale) {
    const OrderedKernels& kernels = kernel_set(set).in(order_of(order));
    const int n = length(row);
    require(n > 0 && n % 16 == 0, "softmax: length " + std::to_string(n) + " is not a multiple of 16");
    py::gil_scoped_release release;
    kernels.softmax(row.mutable_data(), n, scale);
}

using Activate = void (*)(const float* gate, const float* up, int n, float* out);

void activate(Activate function, const Array<float>& gate, const Array<float>& up, Array<float>& out) {
    const int n = length(gate);
    require(length(up) == n && length(out) == n, "activation: arguments differ in length");
    py::gil_scoped_release release;
    function(gate.data(), up.data(), n, out.mutable_data());
}

void silu_mul(const std::string& set, const std::string& order, Array<float> gate, Array<float> up,
              Array<float> out) {
    activate(kernel_set(set).in(order_of(order)).silu_mul, gate, up, out);
}

void relu2_mul(const std::string& set, Array<float> gate, Array<float> up, Array<float> out) {
    activate(kernel_set(set).relu2_mul, gate, up, out);
}

void add(const std::string& set, Array<float> x, Array<float> y, Array<float> out) {
    const KernelSet& kernels = kernel_set(set);
    const int n = length(x);
    require(length(y) == n && length(out) == n, "add: arguments differ in length");
    py::gil_scoped_release release;
    kernels.add(x.data(), y.data(), n, out.mutable_data());
}

void rotate(const std::string& set, const std::string& pairs, bool in_fours, Array<float> x, Array<float> cos,
            Array<float> sin) {
    const KernelSet& kernels = kernel_set(set);
    const int n = length(cos);
    require(pairs == "neox" || pairs == "norm", "rotate: " + pairs + " is neither neox nor norm");
    require(length(sin) == n && length(x) == 2 * n, "rotate: x holds two values for each angle");
    const bool neox = pairs == "neox";
    py::gil_scoped_release release;
    (in_fours ? kernels.rotate_in_fours : kernels.rotate)(x.mutable_data(), cos.data(), sin.data(), n,
                                                          neox ? 1 : 2, neox ? n : 1);
}

std::vector<py::tuple> list_kernel_sets() {
    std::vector<py::tuple> sets;
    for (const KernelSet* set : kernel_sets())
        sets.push_back(py::make_tuple(set->name, set->isa, set->runs_here()));
    return sets;
}

}  // namespace

const KernelSet& kernel_set(const std::string& name) {
    const KernelSet* set = find_kernel_set(name.c_str());
    require(set != nullptr, "kernel set '" + name + "' is not built in or does not run on this CPU");
    return *set;
}

Order order_of(const std::string& name) {
    for (const auto& [known, order] : order_names) {
        if (name == known) return order;
    }
    throw std::invalid_argument("order of sums '" + name + "' is not known");
}

const FormatRow& format_named(const std::string& name) {
    for (const FormatRow& row : format_rows()) {
        if (name == row.name) return row;
    }
    throw std::invalid_argument("weight format '" + name + "' has no kernel");
}

void register_kernels(py::module_& m) {
    using py::arg;
    m.def("kernel_sets", list_kernel_sets);
    m.def("weight_formats", [] {
        std::vector<std::string> names;
        for (const FormatRow& row : format_rows()) names.emplace_back(row.name);
        return names;
    });
    m.def("quantize_i8", quantize_i8, arg("set"), arg("x").noconvert(), arg("codes").noconvert());
    m.def("quantize_q8_k", quantize_q8_k, arg("set"), arg("fused"), arg("x").noconvert(),
          arg("codes").noconvert(), arg("scales").noconvert(), arg("block_sums").noconvert());
    m.def("matmul_i2_s", matmul_i2_s, arg("set"), arg("packed").noconvert(), arg("weight_scale"),
          arg("codes").noconvert(), arg("scales").noconvert(), arg("sums").noconvert(),
          arg("out").noconvert());
    m.def("matmul_q8_k", matmul_q8_k, arg("set"), arg("format"), arg("sums"), arg("packed").noconvert(),
          arg("codes").noconvert(), arg("scales").noconvert(), arg("block_sums").noconvert(),
          arg("out").noconvert());
    m.def("quantize_q8_0", quantize_q8_0, arg("set"), arg("x").noconvert(), arg("codes").noconvert(),
          arg("scales").noconvert(), arg("value_sums").noconvert());
    m.def("matmul_q8_0", matmul_q8_0, arg("set"), arg("format"), arg("sums"), arg("packed").noconvert(),
          arg("codes").noconvert(), arg("scales").noconvert(), arg("value_sums").noconvert(),
          arg("out").noconvert());
    m.def("sums_of", sums_of, arg("format"));
    m.def("orders", [] {
        std::vector<std::string> names;
        for (const auto& [name, order] : order_names) names.emplace_back(name);
        return names;
    });
    m.def("matmul_float", matmul_float, arg("set"), arg("order"), arg("format"), arg("sum"),
          arg("packed").noconvert(), arg("x").noconvert(), arg("out").noconvert());
    m.def("round_to", convert, arg("set"), arg("format"), arg("x").noconvert(), arg("out").noconvert());
    m.def("to_f16", to_f16, arg("set"), arg("x").noconvert(), arg("out").noconvert());
    m.def("from_f16", from_f16, arg("set"), arg("x").noconvert(), arg("out").noconvert());
    m.def("rms_norm", rms_norm, arg("set"), arg("x").noconvert(), arg("weight").noconvert(), arg("eps"),
          arg("out").noconvert());
    m.def("softmax", softmax, arg("set"), arg("order"), arg("row").noconvert(), arg("scale"));
    m.def("silu_mul", silu_mul, arg("set"), arg("order"), arg("gate").noconvert(), arg("up").noconvert(),
          arg("out").noconvert());
    m.def("relu2_mul", relu2_mul, arg("set"), arg("gate").noconvert(), arg("up").noconvert(),
          arg("out").noconvert());
    m.def("add", add, arg("set"), arg("x").noconvert(), arg("y").noconvert(), arg("out").noconvert());
    m.def("rotate", rotate, arg("set"), arg("pairs"), arg("in_fours"), arg("x").noconvert(),
          arg("cos").noconvert(), arg("sin").noconvert());
}
