// Convolutions as their definition says, in double: what the fast paths are compared with.
#pragma once

#include <vector>

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/ops/conv3d.hpp"
#include "support/check.hpp"

namespace braing3n::test {

template <class T>
double at(const Tensor<T, Cpu>& t, Index i) {
  return static_cast<double>(static_cast<accum_t<T>>(t.data()[i]));
}

/// Calls f(x element, w element, y element) for every tap of every result, with the elements of the first channels.
template <class F>
void for_each_tap(const ConvGeometry& g, const F& f) {
  for (Index n = 0; n < g.batch; ++n)
    for (Index px = 0; px < g.out[0]; ++px)
      for (Index py = 0; py < g.out[1]; ++py)
        for (Index pz = 0; pz < g.out[2]; ++pz)
          for (Index kx = 0; kx < g.kernel[0]; ++kx)
            for (Index ky = 0; ky < g.kernel[1]; ++ky)
              for (Index kz = 0; kz < g.kernel[2]; ++kz) {
                const Index ix = px * g.stride[0] - g.pad_before[0] + kx, iy = py * g.stride[1] - g.pad_before[1] + ky;
                const Index iz = pz * g.stride[2] - g.pad_before[2] + kz;
                if (ix < 0 || iy < 0 || iz < 0 || ix >= g.in[0] || iy >= g.in[1] || iz >= g.in[2]) continue;
                f((((n * g.in[0] + ix) * g.in[1] + iy) * g.in[2] + iz) * g.channels_in,
                  ((kx * g.kernel[1] + ky) * g.kernel[2] + kz) * g.channels_in * g.channels_out,
                  (((n * g.out[0] + px) * g.out[1] + py) * g.out[2] + pz) * g.channels_out);
              }
}

template <class T>
std::vector<double> doubles(const Tensor<T, Cpu>& t) {
  std::vector<double> values(static_cast<std::size_t>(t.size()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = at(t, static_cast<Index>(i));
  return values;
}

template <class T>
Tensor<double, Cpu> reference_conv3d(const Tensor<T, Cpu>& x, const Tensor<T, Cpu>& w, const Tensor<T, Cpu>& bias,
                                     const Conv3dOptions& options = {}, const Tensor<T, Cpu>& residual = {}) {
  const ConvGeometry g = detail::conv_geometry("reference", x.shape(), w.shape(), options);
  Tensor<double, Cpu> y = Tensor<double, Cpu>::zeros(x.context(), detail::conv_output_shape(g));
  const std::vector<double> xs = doubles(x), ws = doubles(w), biases = doubles(bias), residuals = doubles(residual);
  const double *const px = xs.data(), *const pw = ws.data();
  double* const py = y.data();
  const Index inputs = g.channels_in, outputs = g.channels_out;
  for_each_tap(g, [=](Index xi, Index wi, Index yi) BRAING3N_REFERENCE_LOOP {
    for (Index i = 0; i < inputs; ++i)
      for (Index o = 0; o < outputs; ++o) py[yi + o] += px[xi + i] * pw[wi + i * outputs + o];
  });
  for (Index i = 0; i < y.size(); ++i) {
    if (!biases.empty()) py[i] += biases[static_cast<std::size_t>(i % outputs)];
    if (!residuals.empty()) py[i] += residuals[static_cast<std::size_t>(i)];
  }
  return y;
}

template <class T>
Tensor<double, Cpu> reference_conv3d_input(const Tensor<T, Cpu>& dy, const Tensor<T, Cpu>& w, const Shape& x_shape,
                                           const Conv3dOptions& options = {}) {
  const ConvGeometry g = detail::conv_geometry("reference", x_shape, w.shape(), options);
  Tensor<double, Cpu> dx = Tensor<double, Cpu>::zeros(dy.context(), x_shape);
  const std::vector<double> dys = doubles(dy), ws = doubles(w);
  const double *const py = dys.data(), *const pw = ws.data();
  double* const px = dx.data();
  const Index inputs = g.channels_in, outputs = g.channels_out;
  for_each_tap(g, [=](Index xi, Index wi, Index yi) BRAING3N_REFERENCE_LOOP {
    for (Index i = 0; i < inputs; ++i)
      for (Index o = 0; o < outputs; ++o) px[xi + i] += py[yi + o] * pw[wi + i * outputs + o];
  });
  return dx;
}

template <class T>
Tensor<double, Cpu> reference_conv3d_weight(const Tensor<T, Cpu>& x, const Tensor<T, Cpu>& dy, const Shape& w_shape,
                                            const Conv3dOptions& options = {}) {
  const ConvGeometry g = detail::conv_geometry("reference", x.shape(), w_shape, options);
  Tensor<double, Cpu> dw = Tensor<double, Cpu>::zeros(x.context(), w_shape);
  const std::vector<double> xs = doubles(x), dys = doubles(dy);
  const double *const px = xs.data(), *const py = dys.data();
  double* const pw = dw.data();
  const Index inputs = g.channels_in, outputs = g.channels_out;
  for_each_tap(g, [=](Index xi, Index wi, Index yi) BRAING3N_REFERENCE_LOOP {
    for (Index i = 0; i < inputs; ++i)
      for (Index o = 0; o < outputs; ++o) pw[wi + i * outputs + o] += px[xi + i] * py[yi + o];
  });
  return dw;
}

/// The built-in tables that this machine can run.
inline std::vector<const CpuProvider*> usable_providers() {
  std::vector<const CpuProvider*> usable;
  for (const CpuProvider* p : builtin_cpu_providers())
    if (p->isa <= detect_isa()) usable.push_back(p);
  return usable;
}

/// The portable table with direct kernels for double in place of im2col, so that finite differences reach them too.
inline const CpuProvider& direct_double_provider() {
  static const CpuProvider table = [] {
    CpuProvider p = find_cpu_provider(detect_isa() >= Isa::avx2 ? "avx2" : "portable");
    if (detect_isa() >= Isa::avx2) p.conv_f64 = direct_convolution<MicroAvx2<double>, OuterAvx2<double>>();
    else p.conv_f64 = direct_convolution<MicroPortable<double>>();
    return p;
  }();
  return table;
}

}  // namespace braing3n::test
