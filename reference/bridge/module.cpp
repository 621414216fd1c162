// Python's view of the bridge: two classes, `Model` and `Session`, in a module named `_bridge`.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "devices.hpp"
#include "session.hpp"

namespace py = pybind11;
using bridge::Model;
using bridge::Session;

namespace {

/// Fills `logits`: a row of every token, or of the last alone.
void evaluate(Session& session, const std::vector<std::int32_t>& tokens, bool every,
              py::array_t<float, py::array::c_style> logits) {
    const auto rows = static_cast<py::ssize_t>(every ? tokens.size() : 1);
    if (logits.size() != rows * session.vocabulary_size())
        throw py::value_error("the logits asked for do not fill the array");
    float* data = logits.mutable_data();
    const py::gil_scoped_release release;
    session.evaluate(tokens, every, data);
}

/// (key, first position, float32 array), or None when the call that was tapped is over.
py::object next_capture(Session& session) {
    std::optional<bridge::Capture> capture;
    {
        const py::gil_scoped_release release;
        capture = session.tap().queue().pop();
    }
    if (!capture) return py::none();
    float* values = capture->values.release();
    const py::capsule owner(values, [](void* p) { delete[] static_cast<float*>(p); });
    const py::array_t<float> array(capture->shape, values, owner);
    return py::make_tuple(capture->key, capture->first_position, array);
}

py::bytes detokenize(const Session& session, const std::vector<std::int32_t>& ids) {
    return session.detokenize(ids);  // bytes, because a token may end in the midst of a character
}

void watch(Session& session, const std::vector<std::tuple<std::string, std::string, int, bool>>& nodes) {
    std::vector<bridge::Watch> watches;
    for (const auto& [name, op, position_axis, trim] : nodes)
        watches.push_back({name, op, position_axis, trim, static_cast<int>(watches.size())});
    session.tap().watch(watches);
}

void round_nodes(Session& session, const std::vector<std::pair<std::string, std::string>>& nodes,
                 std::uint64_t seed, int steps) {
    session.tap().round(nodes, bridge::Rounding(seed, steps));
}

std::vector<py::tuple> nodes(Session& session, const std::vector<std::int32_t>& tokens) {
    std::vector<py::tuple> rows;
    for (const auto& node : session.nodes(tokens))
        rows.push_back(py::make_tuple(node.name, node.op, node.type, node.shape));
    return rows;
}

/// (name, description, bytes of memory) of each device.
std::vector<py::tuple> devices() {
    std::vector<py::tuple> rows;
    for (const auto& device : bridge::devices())
        rows.push_back(py::make_tuple(device.name, device.description, device.bytes));
    return rows;
}

}  // namespace

PYBIND11_MODULE(_bridge, module) {
    py::register_exception<bridge::LoadError>(module, "LoadError");
    module.def("quiet_log", &bridge::quiet_log);
    module.def("system_information", &bridge::system_information);
    module.def("devices", devices);

    py::class_<Model, std::shared_ptr<Model>>(module, "Model")
        .def(py::init<const std::string&, int>(), py::call_guard<py::gil_scoped_release>(), py::arg("path"),
             py::arg("device"));

    py::class_<Session>(module, "Session")
        .def(py::init<std::shared_ptr<Model>, int, int>(), py::call_guard<py::gil_scoped_release>(),
             py::arg("model"), py::arg("context"), py::arg("threads"))
        .def("tokenize", &Session::tokenize)
        .def("detokenize", detokenize)
        .def("evaluate", evaluate, py::arg("tokens"), py::arg("every"), py::arg("logits").noconvert())
        .def("rollback", &Session::rollback)
        .def("nodes", nodes)
        .def("watch", watch)
        .def("round", round_nodes, py::arg("nodes"), py::arg("seed"), py::arg("steps"))
        .def("open_captures", [](Session& session) { session.tap().queue().open(); })
        .def("next_capture", next_capture)
        .def("close_captures", [](Session& session) { session.tap().queue().close(); })
        .def("abandon_captures", [](Session& session) { session.tap().queue().abandon(); })
        .def_property_readonly("position", &Session::position)
        .def_property_readonly("vocabulary_size", &Session::vocabulary_size);
}
