// What ExecuTorch tells of a program that runs; of this nothing is noted.

#pragma once

#include <chrono>
#include <cstring>

#include <executorch/runtime/core/event_tracer.h>

namespace edgekd {

inline int64_t now_ns() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
}

class Tracer : public executorch::runtime::EventTracer {
 public:
  using Entry = executorch::runtime::EventTracerEntry;
  using DelegateId = executorch::runtime::DelegateDebugIntId;
  template <typename T>
  using Result = executorch::runtime::Result<T>;
  using Tensor = executorch::aten::Tensor;

  void create_event_block(const char*) override {}
  Entry start_profiling_delegate(const char*, DelegateId) override { return entry(0); }
  void end_profiling_delegate(Entry, const void*, size_t) override {}
  void log_profiling_delegate(const char*, DelegateId, et_timestamp_t, et_timestamp_t, const void*,
                              size_t) override {}
  void track_allocation(executorch::runtime::AllocatorID, size_t) override {}
  executorch::runtime::AllocatorID track_allocator(const char*) override { return 0; }
  Result<bool> log_evalue(const executorch::runtime::EValue&,
                          executorch::runtime::LoggedEValueType) override {
    return false;
  }
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId, const Tensor&) override {
    return false;
  }
  Result<bool> log_intermediate_output_delegate(
      const char*, DelegateId, const executorch::runtime::ArrayRef<Tensor>) override {
    return false;
  }
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId, const int&) override {
    return false;
  }
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId, const bool&) override {
    return false;
  }
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId, const double&) override {
    return false;
  }
  void set_delegation_intermediate_output_filter(
      executorch::runtime::EventTracerFilterBase*) override {}

 protected:
  static Entry entry(int64_t event) {
    return Entry{event, executorch::runtime::kUnsetChainId, executorch::runtime::kUnsetDebugHandle,
                 uint64_t(now_ns()), executorch::runtime::DelegateDebugIdType::kNone};
  }
};

}  // namespace edgekd
