// The answers of a program to all examples, written as one .npy file per output.

#pragma once

#include "program.h"

namespace edgekd {

constexpr size_t kHeader = 256;
/// The first eight bytes of the format, version 1.0: numpy.lib.format.
constexpr char kMagic[] = "\x93NUMPY\x01";

class AnswersFile {
 public:
  AnswersFile(const std::string& folder, const std::string& name)
      : name_(name), path_(folder + "/" + name + ".npy"), file_(std::fopen(path_.c_str(), "wb")) {
    if (file_ == nullptr) fail(path_ + " cannot be written: " + std::strerror(errno));
    write(std::string(kHeader, ' ').data(), kHeader);
  }

  /// Adds the first `count` rows; a scalar is one row.
  void add(const EValue& value, int64_t count) {
    if (!value.isTensor()) fail("output '" + name_ + "' is no tensor");
    const auto& tensor = value.toTensor();
    std::vector<int64_t> row(tensor.sizes().begin(), tensor.sizes().end());
    int64_t rows = 1;
    if (!row.empty()) {
      rows = row[0];
      row.erase(row.begin());
    }
    if (rows_ == 0) {
      row_ = row;
      type_ = tensor.scalar_type();
    } else if (row != row_) {
      fail("output '" + name_ + "' changes its shape from call to call");
    }
    const int64_t taken = std::min(rows, count);
    if (rows > 0) write(tensor.const_data_ptr(), tensor.nbytes() / rows * taken);
    rows_ += taken;
  }

  /// Writes what stands before the rows, and closes the file.
  void close() {
    std::string shape = std::to_string(rows_) + ",";
    for (int64_t size : row_) shape += " " + std::to_string(size) + ",";
    std::string text = std::string("{'descr': '") + npy_type() +
                       "', 'fortran_order': False, 'shape': (" + shape + "), }";
    text.resize(kHeader - 11, ' ');
    text += '\n';
    const char length[2] = {char((kHeader - 10) & 0xff), char((kHeader - 10) >> 8)};
    std::fseek(file_, 0, SEEK_SET);
    write(kMagic, 8);
    write(length, 2);
    write(text.data(), text.size());
    if (std::fclose(file_) != 0) fail(path_ + " cannot be written: " + std::strerror(errno));
  }

 private:
  void write(const void* data, size_t bytes) {
    if (std::fwrite(data, 1, bytes, file_) != bytes) {
      fail(path_ + " cannot be written: " + std::strerror(errno));
    }
  }

  const char* npy_type() const {
    for (const Type& type : kTypes) {
      if (type.scalar == type_) return type.npy;
    }
    fail("output '" + name_ + "' has a type that the runner does not know");
  }

  std::string name_, path_;
  std::FILE* file_;
  int64_t rows_ = 0;
  std::vector<int64_t> row_;
  ScalarType type_ = ScalarType::Float;
};

}  // namespace edgekd
