// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <set>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "patience.hpp"
#include "transfer/registrations.hpp"

namespace grainfabric {
namespace {

/// Knows what is registered with it.
class FakeDomain final : public transport::Domain {
 public:
  FakeDomain() { can.local_registration = true; }
  transport::Capabilities can;
  std::multiset<const std::byte*> registered;
  bool refuses = false;

  const transport::Capabilities& capabilities() const noexcept override { return can; }
  std::unique_ptr<transport::Registration> register_memory(std::span<std::byte> memory,
                                                           transport::Access) override {
    if (refuses) throw Error(ErrorCode::locked_memory_limit, "No more can be pinned");
    return std::make_unique<Registration>(*this, memory.data());
  }
  std::unique_ptr<transport::Endpoint> accept(const Token&, transport::EndpointEvents&) override {
    return nullptr;
  }
  std::unique_ptr<transport::Endpoint> connect(const transport::Address&, const Token&,
                                               transport::EndpointEvents&) override {
    return nullptr;
  }

 private:
  struct Registration final : transport::Registration {
    Registration(FakeDomain& in, const std::byte* at) : domain(in), address(at) {
      domain.registered.insert(address);
    }
    ~Registration() override { domain.registered.erase(domain.registered.find(address)); }
    [[nodiscard]] transport::RemoteMemory remote() const noexcept override { return {}; }
    FakeDomain& domain;
    const std::byte* address;
  };
};

std::shared_ptr<Region> view_of(std::size_t size = 4096) {
  const UniqueFd file(::memfd_create("test-foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
  return Region::view(file.get());
}

class RegistrationsTest : public testing::Test {
 protected:
  /// As a sender does: asks, and the loop thread sees to what was asked for.
  bool push(const std::shared_ptr<Region>& view) {
    const bool served = registrations_.foreign()->serves(view);
    registrations_.register_asked();
    return served;
  }
  FakeDomain domain_;
  Registrations registrations_{domain_};
};

TEST_F(RegistrationsTest, memory_of_ours_is_registered_once_and_at_first_use) {
  const auto region = Region::create(4096, "test-region");
  const auto* first = registrations_.of(region);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(registrations_.of(region), first);
  EXPECT_EQ(domain_.registered.size(), 1U);
}

TEST_F(RegistrationsTest, memory_of_others_is_registered_when_it_comes_again) {
  const auto view = view_of();
  EXPECT_FALSE(push(view));
  EXPECT_TRUE(domain_.registered.empty());  // what comes but once is cheaper copied
  EXPECT_FALSE(push(view));                 // this one is still copied
  EXPECT_EQ(domain_.registered.count(view->data()), 1U);
  EXPECT_TRUE(push(view));
  EXPECT_TRUE(push(view));
  EXPECT_EQ(domain_.registered.size(), 1U);
  EXPECT_NE(registrations_.of(view), nullptr);
}

TEST_F(RegistrationsTest, what_is_asked_for_often_before_anybody_looks_is_registered_once) {
  const auto view = view_of();
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(registrations_.foreign()->serves(view));
  registrations_.register_asked();
  EXPECT_EQ(domain_.registered.size(), 1U);
}

TEST_F(RegistrationsTest, what_is_gone_is_withdrawn_and_its_address_means_nothing) {
  auto view = view_of();
  push(view);
  push(view);
  const std::byte* const address = view->data();
  const Region* const place = view.get();
  ASSERT_EQ(domain_.registered.count(address), 1U);
  view.reset();
  bool same_address = false;
  for (int i = 0; i < 100; ++i) {
    auto other = view_of();
    same_address = same_address || (other->data() == address && other.get() == place);
    EXPECT_FALSE(push(other)) << i;  // never taken for the one that was there
    push(other);
    EXPECT_EQ(domain_.registered.size(), 1U);
    EXPECT_EQ(domain_.registered.count(other->data()), 1U);
    EXPECT_TRUE(push(other));
  }
  // AddressSanitizer gives no address twice.
  EXPECT_TRUE(same_address || test::kSlowdown > 1) << "nothing was shown";
  registrations_.forget_gone();
  EXPECT_TRUE(domain_.registered.empty());
}

TEST_F(RegistrationsTest, what_goes_while_it_is_asked_for_is_left_alone) {
  auto view = view_of();
  registrations_.foreign()->serves(view);
  registrations_.foreign()->serves(view);
  view.reset();
  registrations_.register_asked();
  EXPECT_TRUE(domain_.registered.empty());
}

TEST_F(RegistrationsTest, what_cannot_be_registered_is_copied_and_not_asked_for_again) {
  const auto view = view_of();
  domain_.refuses = true;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(push(view));
  domain_.refuses = false;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(push(view));
  EXPECT_TRUE(domain_.registered.empty());
}

TEST_F(RegistrationsTest, no_more_of_others_is_pinned_than_there_is_room_for) {
  std::vector<std::shared_ptr<Region>> views;
  for (std::size_t i = 0; i < Registrations::kMostForeignRegions + 10; ++i) {
    views.push_back(view_of());
    push(views.back());
    push(views.back());
  }
  EXPECT_EQ(domain_.registered.size(), Registrations::kMostForeignRegions);
  EXPECT_TRUE(push(views.front()));
  EXPECT_FALSE(push(views.back()));
  EXPECT_NE(registrations_.of(Region::create(4096, "test-region")), nullptr);  // ours goes on
  views.clear();
  const auto large = view_of(Registrations::kMostForeignBytes + 4096);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(push(large));
  const auto small = view_of();
  push(small);
  push(small);
  EXPECT_TRUE(push(small));
}

TEST_F(RegistrationsTest, a_transport_that_needs_none_gets_none) {
  domain_.can.local_registration = false;
  EXPECT_EQ(registrations_.of(Region::create(4096, "test-region")), nullptr);
  EXPECT_EQ(registrations_.of(view_of()), nullptr);
  EXPECT_TRUE(domain_.registered.empty());
}

}  // namespace
}  // namespace grainfabric
