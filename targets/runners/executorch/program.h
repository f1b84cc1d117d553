// The method `forward` of a .pte file.

#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include "plan.h"

// The wheel has this library without its header.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t num_threads);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace edgekd {

using executorch::extension::Module;
using executorch::runtime::EValue;

/// What a call takes; the buffers live as long as it does.
struct Call {
  std::vector<std::shared_ptr<char>> buffers;
  std::vector<executorch::extension::TensorPtr> tensors;
  std::vector<EValue> values;
};

template <typename T>
T checked(executorch::runtime::Result<T> result, const std::string& doing) {
  if (!result.ok()) fail(doing + ": " + executorch::runtime::to_string(result.error()));
  return std::move(result.get());
}

inline void checked(executorch::runtime::Error error, const std::string& doing) {
  if (error != executorch::runtime::Error::Ok) {
    fail(doing + ": " + executorch::runtime::to_string(error));
  }
}

class Program {
 public:
  /// Loads the program and its method, so that what the first run takes is the run.
  Program(const Plan& plan, std::unique_ptr<executorch::runtime::EventTracer> tracer = nullptr)
      : module_(plan.model, Module::LoadMode::Mmap, std::move(tracer)) {
    auto* pool = executorch::extension::threadpool::get_threadpool();
    if (pool != nullptr && pool->get_thread_count() != size_t(plan.threads)) {
      pool->_unsafe_reset_threadpool(plan.threads);
    }
    checked(module_.load(), "the program cannot be loaded");
    checked(module_.load_forward(), "its method forward cannot be loaded");
    const auto meta = checked(module_.method_meta("forward"), "forward is not described");
    if (meta.num_inputs() != plan.inputs.size()) {
      fail("forward takes " + std::to_string(meta.num_inputs()) + " inputs, not " +
           std::to_string(plan.inputs.size()));
    }
    for (size_t index = 0; index < meta.num_inputs(); ++index) see_input(meta, index, plan);
  }

  /// Returns the raw outputs; they are overwritten by the next run. This call is what is timed.
  executorch::runtime::Result<std::vector<EValue>> run(const Call& call) {
    return module_.forward(call.values);
  }

  /// The most examples of a call, 0 where no input has a dimension for them.
  int64_t max_batch() const { return max_batch_; }

 private:
  // A tensor of another type would be read as if it were of the program's.
  void see_input(const executorch::runtime::MethodMeta& meta, size_t index, const Plan& plan) {
    const auto info = checked(meta.input_tensor_meta(index), "an input is no tensor");
    if (info.scalar_type() != plan.inputs[index].type->scalar) {
      fail("input " + std::to_string(index) + " of forward is no " +
           plan.inputs[index].type->name);
    }
    const auto sizes = info.sizes();
    if (sizes.size() > 0 && (max_batch_ == 0 || sizes[0] < max_batch_)) max_batch_ = sizes[0];
  }

  Module module_;
  int64_t max_batch_ = 0;
};

}  // namespace edgekd
