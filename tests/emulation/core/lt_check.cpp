// What cuBLASLt refuses.
#include "core/lt.hpp"
#include "core/state.hpp"

namespace emulation::core {
namespace {

std::string number(std::uint64_t n) { return std::to_string(n); }

/// The rows of the table "cublasLtMatmul, supported types" that the library uses.
bool known_types(const Problem& p) {
  if (p.a.type != p.b.type || p.c.type != p.d.type) return false;
  const bool wide = p.desc.compute == CUBLAS_COMPUTE_64F;
  if (p.desc.scale != (wide ? CUDA_R_64F : CUDA_R_32F)) return false;
  if (wide) return p.a.type == CUDA_R_64F && p.d.type == CUDA_R_64F;
  if (p.a.type == CUDA_R_32F) return p.d.type == CUDA_R_32F;
  return p.desc.compute == CUBLAS_COMPUTE_32F && p.a.type == CUDA_R_16BF &&
         (p.d.type == CUDA_R_16BF || p.d.type == CUDA_R_32F);
}

std::string check_layouts(const Problem& p) {
  for (const Layout* l : {&p.a, &p.b, &p.c, &p.d}) {
    if (l->magic != known_layout) return "a layout was never initialised";
    if (l->rows == 0 || l->cols == 0) return "a matrix has no elements";
    if (l->ld < static_cast<std::int64_t>(l->rows))
      return "a leading dimension of " + std::to_string(l->ld) + " for columns of " + number(l->rows) + " elements";
    if (l->batch != p.d.batch) return "batches of different sizes";
  }
  const std::uint64_t rows_a = p.plain_a() ? p.a.rows : p.a.cols, rows_b = p.plain_b() ? p.b.rows : p.b.cols,
                      cols_b = p.plain_b() ? p.b.cols : p.b.rows;
  if (rows_a != p.m() || rows_b != p.k() || cols_b != p.n() || p.c.rows != p.m() || p.c.cols != p.n())
    return "op(A) (" + number(rows_a) + ", " + number(p.k()) + ") op(B) (" + number(rows_b) + ", " + number(cols_b) +
           ") does not fit D (" + number(p.m()) + ", " + number(p.n()) + ")";
  return {};
}

bool known_epilogue(std::uint32_t e) {
  return e == CUBLASLT_EPILOGUE_DEFAULT || e == CUBLASLT_EPILOGUE_BIAS || e == CUBLASLT_EPILOGUE_GELU ||
         e == CUBLASLT_EPILOGUE_GELU_BIAS || e == CUBLASLT_EPILOGUE_GELU_AUX || e == CUBLASLT_EPILOGUE_GELU_AUX_BIAS ||
         e == CUBLASLT_EPILOGUE_BGRADB;
}

std::string check_epilogue(const Problem& p) {
  const Desc& d = p.desc;
  if ((p.adds_bias() || p.sums_b()) && d.bias == nullptr) return "an epilogue with a bias, and no pointer to it";
  if (!p.writes_aux()) return {};
  if (d.aux == nullptr) return "an epilogue with an auxiliary matrix, and no pointer to it";
  if (d.aux_ld % 8 != 0)
    return "an auxiliary leading dimension of " + std::to_string(d.aux_ld) + ", not divisible by 8";
  if (d.aux_ld < static_cast<std::int64_t>(p.m()))
    return "an auxiliary leading dimension of " + std::to_string(d.aux_ld) + " for columns of " + number(p.m());
  return {};
}

}  // namespace

std::size_t size_of(cudaDataType_t type) { return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2; }

std::uint64_t Problem::hash() const {
  std::uint64_t h = 1469598103934665603u;
  const auto add = [&h](std::uint64_t v) { h = (h ^ v) * 1099511628211u; };
  for (const std::uint64_t v :
       {std::uint64_t{desc.epilogue}, static_cast<std::uint64_t>(desc.compute), static_cast<std::uint64_t>(desc.op_a),
        static_cast<std::uint64_t>(desc.op_b), static_cast<std::uint64_t>(desc.aux_ld)})
    add(v);
  for (const Layout* l : {&a, &b, &c, &d})
    for (const std::uint64_t v : {static_cast<std::uint64_t>(l->type), static_cast<std::uint64_t>(l->batch), l->rows,
                                  l->cols, static_cast<std::uint64_t>(l->ld), static_cast<std::uint64_t>(l->step)})
      add(v);
  return h;
}

cublasStatus_t check(const Problem& p, const std::source_location& at) {
  if (p.desc.magic != known_desc) return refuse(CUBLAS_STATUS_INVALID_VALUE, at, "a description was never initialised");
  if (const std::string wrong = check_layouts(p); !wrong.empty()) return refuse(CUBLAS_STATUS_INVALID_VALUE, at, wrong);
  if (!known_types(p)) return refuse(CUBLAS_STATUS_NOT_SUPPORTED, at, "these types do not go together");
  if (!known_epilogue(p.desc.epilogue))
    return refuse(CUBLAS_STATUS_INVALID_VALUE, at, "there is no epilogue " + number(p.desc.epilogue));
  if (p.desc.epilogue == CUBLASLT_EPILOGUE_DEFAULT) return CUBLAS_STATUS_SUCCESS;
  if (p.desc.compute == CUBLAS_COMPUTE_64F)
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, at, "an epilogue on a product in double");
  if (p.d.batch != 1) return refuse(CUBLAS_STATUS_NOT_SUPPORTED, at, "an epilogue on a batch");
  if ((options().missing_epilogues & p.desc.epilogue) != 0)
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, at, "no algorithm has epilogue " + number(p.desc.epilogue));
  if (const std::string wrong = check_epilogue(p); !wrong.empty())
    return refuse(CUBLAS_STATUS_INVALID_VALUE, at, wrong);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace emulation::core
