// Real samples as a program takes them, in turn, with its state where it has one: as feeds.py does.

#pragma once

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "program.h"

namespace edgekd {

constexpr size_t kAligned = 64;
/// Different calls of a batch: more would only fill the memory.
constexpr int64_t kCalls = 4;

inline std::shared_ptr<char> buffer(size_t bytes) {
  const size_t room = std::max(kAligned, (bytes + kAligned - 1) / kAligned * kAligned);
  char* place = static_cast<char*>(std::aligned_alloc(kAligned, room));
  if (place == nullptr) fail("there is no memory for the inputs");
  std::memset(place, 0, room);
  return {place, std::free};
}

/// A file of examples; read, not mapped, so that it does not count as memory of the program.
class Column {
 public:
  explicit Column(const Input& input) : input_(input), file_(open(input.file.c_str(), O_RDONLY)) {
    if (file_ < 0) fail(input.file + " cannot be opened: " + std::strerror(errno));
  }

  void read(int64_t example, char* into) const {
    const size_t bytes = input_.bytes();
    size_t come = 0;
    while (come < bytes) {
      const off_t place = input_.offset + example * bytes + come;
      const ssize_t got = pread(file_, into + come, bytes - come, place);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) fail(input_.file + " ends before example " + std::to_string(example));
      come += got;
    }
  }

 private:
  const Input& input_;
  int file_;
};

class Feeds {
 public:
  explicit Feeds(const Plan& plan)
      : plan_(plan), size_(std::max<int64_t>(1, plan.examples / plan.step)) {
    for (const Input& input : plan.inputs) {
      if (input.carried < 0) {
        columns_.emplace_back(std::make_unique<Column>(input));
        states_.emplace_back();
      } else {
        columns_.emplace_back();
        states_.push_back(buffer(input.bytes()));
      }
    }
  }

  /// Returns the next call, the states in it as `keep` left them, or zeros with the first sample.
  const Call& next() {
    const int64_t index = turn_;
    turn_ = (turn_ + 1) % size_;
    if (index == 0) forget();
    while (int64_t(ready_.size()) <= index) {
      ready_.push_back(sample(ready_.size() * plan_.step, plan_.step));
    }
    return ready_[index];
  }

  /// Returns `count` examples from `start` on, the last one repeated where they run out.
  Call sample(int64_t start, int64_t count) const {
    Call call;
    for (size_t index = 0; index < plan_.inputs.size(); ++index) {
      const Input& input = plan_.inputs[index];
      auto shape = input.shape;
      if (input.stacked) shape.insert(shape.begin(), count);
      add(call, input, shape, states_[index] ? states_[index] : filled(index, start, count));
    }
    return call;
  }

  /// Returns a few calls of `batch` examples each, put together; of inputs that are not `batched`
  /// the first one's is taken.
  std::vector<Call> calls(int64_t batch) const {
    const auto& inputs = plan_.inputs;
    if (std::none_of(inputs.begin(), inputs.end(), [](const Input& one) { return one.batched; })) {
      fail("it takes no more than one example a call");
    }
    std::vector<Call> made;
    for (int64_t turn = 0; turn < kCalls; ++turn) made.push_back(together(turn * batch, batch));
    return made;
  }

  /// Returns how many samples one example is: it may be a batch itself.
  int64_t rows() const {
    if (!plan_.whole_calls) return plan_.step;
    int64_t most = 1;
    for (const Input& input : plan_.inputs) {
      if (input.batched) most = std::max<int64_t>(most, input.shape.at(0));
    }
    return most;
  }

  /// Remembers the state that came out.
  void keep(const std::vector<EValue>& raw) {
    for (size_t index = 0; index < plan_.inputs.size(); ++index) {
      if (!states_[index]) continue;
      const Input& input = plan_.inputs[index];
      const auto& came = raw.at(input.carried).toTensor();
      if (came.nbytes() != input.bytes()) fail("a state came out in another size than it goes in");
      std::memcpy(states_[index].get(), came.const_data_ptr(), came.nbytes());
    }
  }

  /// Sets all state to zeros.
  void forget() {
    for (size_t index = 0; index < states_.size(); ++index) {
      if (states_[index]) std::memset(states_[index].get(), 0, plan_.inputs[index].bytes());
    }
  }

 private:
  static void add(Call& call, const Input& input, const std::vector<int32_t>& shape,
                  std::shared_ptr<char> data) {
    call.tensors.push_back(
        executorch::extension::from_blob(data.get(), shape, input.type->scalar));
    call.values.emplace_back(call.tensors.back());
    call.buffers.push_back(std::move(data));
  }

  Call together(int64_t start, int64_t batch) const {
    Call call;
    for (size_t index = 0; index < plan_.inputs.size(); ++index) {
      const Input& input = plan_.inputs[index];
      auto shape = input.shape;
      if (input.batched && plan_.whole_calls) shape.at(0) *= batch;
      else if (input.batched) shape.insert(shape.begin(), batch);
      const int64_t rows = input.batched ? batch : 1;
      auto data = buffer(rows * input.bytes());
      for (int64_t row = 0; row < rows; ++row) {
        const int64_t example = (start + row) % plan_.examples;
        columns_.at(index)->read(example, data.get() + row * input.bytes());
      }
      add(call, input, shape, std::move(data));
    }
    return call;
  }

  std::shared_ptr<char> filled(size_t index, int64_t start, int64_t count) const {
    const Input& input = plan_.inputs[index];
    const int64_t rows = input.stacked ? count : 1;
    auto data = buffer(rows * input.bytes());
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t example = std::min(start + row, plan_.examples - 1);
      columns_[index]->read(example, data.get() + row * input.bytes());
    }
    return data;
  }

  const Plan& plan_;
  int64_t size_, turn_ = 0;
  std::vector<std::unique_ptr<Column>> columns_;
  std::vector<std::shared_ptr<char>> states_;
  std::vector<Call> ready_;
};

}  // namespace edgekd
