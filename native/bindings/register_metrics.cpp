// Distances of a position, for the harness; the Python side is metrics.py.

#include <stdexcept>

#include "bitnet/metrics.hpp"
#include "register.hpp"

namespace py = pybind11;
using namespace bitnet;

namespace {

template <auto compare_logits>
py::dict compare(Array<float> expected, Array<float> actual) {
    const bool are_vectors = expected.ndim() == 1 && actual.ndim() == 1;
    if (!are_vectors || expected.size() == 0 || expected.size() != actual.size())
        throw std::invalid_argument("compare_logits: needs two vectors of equal length that are not empty");
    PositionMetrics m;
    {
        py::gil_scoped_release release;
        m = compare_logits(expected.data(), actual.data(), int(expected.size()));
    }
    using py::arg;
    return py::dict(
        arg("cosine") = m.cosine, arg("one_minus_cosine") = m.one_minus_cosine, arg("l2") = m.l2,
        arg("relative_l2") = m.relative_l2, arg("max_abs") = m.max_abs, arg("kl") = m.kl,
        arg("argmax_expected") = m.argmax_expected, arg("argmax_actual") = m.argmax_actual,
        arg("margin_expected") = m.margin_expected, arg("margin_actual") = m.margin_actual,
        arg("contested") = m.contested, arg("top_k_overlap") = m.top_k_overlap,
        arg("rms_expected") = m.rms_expected, arg("expected_is_finite") = m.expected_is_finite,
        arg("actual_is_finite") = m.actual_is_finite);
}

}  // namespace

void register_metrics(py::module_& m) {
    const auto expected = py::arg("expected").noconvert(), actual = py::arg("actual").noconvert();
    m.def("compare_logits", compare<compare_logits>, expected, actual);
    m.def("compare_logits_portably", compare<compare_logits_portably>, expected, actual);
}
