// Uses Eigen itself, compiled for this machine, beside a library that holds an Eigen compiled for every machine: memory that the one aligns
// must not be freed by the other. Built with AddressSanitizer.
#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <iostream>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/linalg/ldlt.hpp"
#include "braing3n/linalg/leading_eigen.hpp"
#include "braing3n/linalg/llt.hpp"
#include "braing3n/linalg/symmetric_eigen.hpp"

namespace b3 = braing3n;

int main() {
  const b3::Index n = 120;
  Eigen::MatrixXd a(n, n);
  for (b3::Index i = 0; i < n; ++i)
    for (b3::Index j = 0; j < n; ++j) a(i, j) = 1 / (1.0 + std::abs(static_cast<double>(i - j))) + (i == j ? i : 0);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> own(a);
  Eigen::VectorXd right = Eigen::VectorXd::LinSpaced(n, -1, 1);
  const Eigen::VectorXd solved = Eigen::LLT<Eigen::MatrixXd>(a).solve(right);

  const std::vector<double> values(a.data(), a.data() + n * n);
  double off = 0;
  const b3::SymmetricEigen all = b3::symmetric_eigen(values, n);
  for (b3::Index i = 0; i < n; ++i)
    off = std::max(off, std::abs(all.values[static_cast<std::size_t>(i)] - own.eigenvalues()(i)));
  b3::Context<b3::Cpu> context({.threads = 2});
  const auto tensor = b3::Tensor<double, b3::Cpu>::from_host(context, {n, n}, values);
  const b3::LeadingEigen leading = b3::leading_eigen(context, tensor, 4);
  for (b3::Index i = 0; i < 4; ++i)
    off = std::max(off, std::abs(leading.values[static_cast<std::size_t>(i)] - own.eigenvalues()(n - 1 - i)));
  std::vector<double> x(right.data(), right.data() + n), y = x;
  b3::llt_solve<double>(b3::llt<double>(context, values, n), x);
  b3::ldlt_solve<double>(values, n, y, 1);
  for (b3::Index i = 0; i < n; ++i)
    for (const auto* v : {&x, &y}) off = std::max(off, std::abs((*v)[static_cast<std::size_t>(i)] - solved(i)));
  std::cout << "factorisations of two Eigens " << (off < 1e-9 ? "agree" : "disagree") << ": " << off << "\n";
  return off < 1e-9 ? 0 : 1;
}
