#include "tests/support/check.hpp"

#include "braing3n/table/matrix.hpp"

using namespace braing3n;

TEST_CASE("rows of a matrix are views, and stored rows survive growth") {
  RowStore<float> store;
  CHECK(row_count(store) == 0);
  CHECK(column_count(store) == 0);
  for (int i = 0; i < 100; ++i) append_row<float>(store, std::vector<float>{static_cast<float>(i), 0.5f});
  append_rows<float>(store, 2, std::vector<float>{1, 2, 3, 4});
  append_rows<float>(store, 0, {});
  CHECK(row_count(store) == 102);
  CHECK(store(99, 0) == 99);
  CHECK(store(101, 1) == 4);
  CHECK(row_of(store, 100)[1] == 2);
  row_of(store, 3)[0] = -1;
  CHECK(store(3, 0) == -1);
  CHECK(view_of(store).row(3).data() == store.data() + 6);
  const std::vector<float> three(3);
  test::check_error("matrix.row", {"3 elements", "expected 2"}, [&] { append_row<float>(store, three); });
  test::check_error("matrix.row", {"3 elements for 2 more rows", "expected 4"},
                    [&] { append_rows<float>(store, 2, three); });
  CHECK(row_count(store) == 102);
}

TEST_CASE("a matrix of elements has whole rows") {
  const xt::xtensor<double, 2> m = matrix_of(2, std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK(m.shape()[0] == 3);
  CHECK(m(2, 0) == 5);
  CHECK(elements_of(m).size() == 6);
  CHECK(view_of(m).features == 2);
  const xt::xtensor<double, 2> none = zero_matrix<double>(0, 4), zeros = zero_matrix<double>(2, 1);
  CHECK(column_count(none) == 4);
  CHECK(zeros(1, 0) == 0);
  test::check_error("matrix.elements", {"5 elements", "rows of 2"}, [] { matrix_of(2, std::vector<int>(5)); });
}
