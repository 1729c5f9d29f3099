// Several horizons of one baseline in one integration.
#include <doctest/doctest.h>

#include "braing3n/study/forecast_baselines.hpp"

using namespace braing3n;
using namespace braing3n::study;

TEST_CASE("pairs of one baseline are its horizons, and each finds its own follow-up") {
  Context<Cpu> ctx({.threads = 1});
  std::vector<VisitPair> pairs{{.from = 7, .to = 9, .years = 2, .age = 60},
                               {.from = 3, .to = 5, .years = 5, .age = 70},
                               {.from = 3, .to = 4, .years = 1, .age = 70},
                               {.from = 8, .to = 2, .years = 3, .age = 80},
                               {.from = 3, .to = 6, .years = 9, .age = 70}};
  sort_by_baseline(pairs);
  std::vector<Index> to;
  for (const VisitPair& p : pairs) to.push_back(p.to);
  CHECK(to == std::vector<Index>{4, 5, 6, 9, 2});

  const BaselinePart part{std::span<const VisitPair>(pairs)};
  CHECK(part.rows() == std::vector<Index>{3, 7, 8});
  // Who has no further horizon stays at the last.
  CHECK(part.stops == std::vector<std::vector<double>>{{1, 2, 3}, {5, 2, 3}, {9, 2, 3}});

  std::vector<Tensor<float, Cpu>> reached;
  for (float stop = 0; stop < 3; ++stop)
    reached.push_back(
        Tensor<float, Cpu>::from_host(ctx, {3, 1, 2}, std::vector<float>{stop, 0, 10 + stop, 1, 20 + stop, 2}));
  CHECK(part.rows_of(reached).to_host() == std::vector<float>{0, 0, 1, 0, 2, 0, 10, 1, 20, 2});
}
