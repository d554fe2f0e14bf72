// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace grainfabric {

/// A queue that keeps its memory: once it has been as long as it gets, nothing is allocated any
/// more, where a std::deque does so every few elements. One thread.
template <class Element>
class Fifo {
 public:
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// The oldest is 0.
  [[nodiscard]] Element& operator[](std::size_t index) noexcept { return places_[place(index)]; }
  [[nodiscard]] Element& front() noexcept { return (*this)[0]; }

  Element& push_back(Element element) {
    if (size_ == places_.size()) grow();
    Element& placed = places_[place(size_)];
    placed = std::move(element);
    ++size_;
    return placed;
  }
  Element pop_front() {
    Element taken = std::exchange(front(), Element());
    drop_front();
    return taken;
  }
  /// The oldest stays as it is until its place is used again.
  void drop_front() noexcept {
    first_ = place(1);
    --size_;
  }

 private:
  static constexpr std::size_t kSmallest = 8;

  // Sizes are powers of two.
  [[nodiscard]] std::size_t place(std::size_t index) const noexcept {
    return (first_ + index) & (places_.size() - 1);
  }
  void grow() {
    std::vector<Element> larger(places_.empty() ? kSmallest : 2 * places_.size());
    for (std::size_t i = 0; i < size_; ++i) larger[i] = std::move((*this)[i]);
    places_.swap(larger);
    first_ = 0;
  }

  std::vector<Element> places_;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
};

}  // namespace grainfabric
