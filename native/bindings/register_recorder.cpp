// Trace records of arrays from anywhere, and the hash that they are made with.

#include "bitnet/recorder.hpp"

#include <algorithm>
#include <stdexcept>

#include "register.hpp"

namespace py = pybind11;
using namespace bitnet;

namespace {

// A recorder with threads of its own, for stages that no session of ours computed.
struct BoundRecorder {
    Recorder recorder;
    ThreadPool pool;

    BoundRecorder(const std::string& engine, const std::string& run, int threads)
        : recorder(kernel_set("auto"), engine, run), pool(threads) {}
};

// values (rows, width), or attention probabilities (rows, heads, positions)
void add(BoundRecorder& self, int layer, const std::string& stage, int position, Array<float> values) {
    const bool has_heads = stage == "attn_probs";
    if (values.ndim() != (has_heads ? 3 : 2)) throw std::invalid_argument(stage + ": wrong number of axes");
    const int rows = int(values.shape(0)), heads = has_heads ? int(values.shape(1)) : 0;
    if (values.size() == 0) throw std::invalid_argument(stage + ": no values");
    const std::size_t width = std::size_t(values.size()) / std::size_t(rows);
    const float* data = values.data();
    py::gil_scoped_release release;
    self.recorder.add(self.pool, {layer, stage, position, rows, rows, width, heads, data});
}

py::bytes take(BoundRecorder& self, int seq) {
    std::vector<std::string> lines;
    {
        py::gil_scoped_release release;
        lines = self.recorder.take(self.pool, seq);
    }
    return joined(lines);
}

py::bytes hash(const std::string& set, py::buffer data) {
    const py::buffer_info info = data.request();
    const auto bytes = std::size_t(info.size * info.itemsize);
    Digest digest;
    hash_messages(kernel_set(set), static_cast<const std::uint8_t*>(info.ptr), 0, 1, bytes, &digest);
    return py::bytes(reinterpret_cast<const char*>(digest.data()), digest.size());
}

}  // namespace

py::bytes joined(const std::vector<std::string>& parts) {
    std::size_t size = 0;
    for (const std::string& part : parts) size += part.size();
    py::bytes all = py::reinterpret_steal<py::bytes>(PyBytes_FromStringAndSize(nullptr, py::ssize_t(size)));
    if (!all) throw py::error_already_set();
    char* at = PyBytes_AS_STRING(all.ptr());
    for (const std::string& part : parts) at = std::copy(part.begin(), part.end(), at);
    return all;
}

void register_recorder(py::module_& m) {
    using py::arg;
    py::class_<BoundRecorder>(m, "Recorder")
        .def(py::init([](const std::string& engine, const std::string& run, int threads) {
                 if (threads < 1) throw std::invalid_argument("threads is not positive");
                 return std::make_unique<BoundRecorder>(engine, run, threads);
             }),
             py::kw_only(), arg("engine"), arg("run"), arg("threads"))
        .def("add", add, arg("layer"), arg("stage"), arg("position"), arg("values").noconvert())
        .def("take", take, arg("seq"));
    m.def("blake3", hash, arg("kernels"), arg("data"));
}
