// What the process is to run, read from its command line.
//
//     edgekd-executorch MODEL.pte --threads N --examples N --step N [--any-batch] [--scores FOLDER]
//         (--input TYPE ROW stacked|whole FILE OFFSET | --carried TYPE SHAPE OUTPUT)...
//         (--output NAME)... [--whole-calls] [--batched INPUT]...
//
// Inputs are given in the order of the program's own. The values of --input lie in FILE from byte
// OFFSET on, C order, one example after another; ROW is the shape of one, as 1x8x8, or - for a
// scalar. A call takes them `stacked`, one after another in a first dimension, or one as a `whole`.
// --carried is state: zeros at first, then what came out as output number OUTPUT. Of each --batched
// input, by its number, a call can take any number of examples, one after another in its first
// dimension; with --whole-calls one example fills that dimension already.

#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include <executorch/runtime/core/exec_aten/exec_aten.h>

namespace edgekd {

using executorch::aten::ScalarType;

/// Says on the error stream why the process ends, and ends it.
[[noreturn]] inline void fail(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

struct Type {
  const char* name;
  ScalarType scalar;
  size_t bytes;
  /// The same in a .npy file, little-endian.
  const char* npy;
};

inline const Type kTypes[] = {
    {"float32", ScalarType::Float, 4, "<f4"},  {"float16", ScalarType::Half, 2, "<f2"},
    {"float64", ScalarType::Double, 8, "<f8"}, {"int8", ScalarType::Char, 1, "|i1"},
    {"uint8", ScalarType::Byte, 1, "|u1"},     {"int16", ScalarType::Short, 2, "<i2"},
    {"int32", ScalarType::Int, 4, "<i4"},      {"int64", ScalarType::Long, 8, "<i8"},
    {"bool", ScalarType::Bool, 1, "|b1"},
};

inline const Type& type_named(const std::string& name) {
  for (const Type& type : kTypes) {
    if (name == type.name) return type;
  }
  fail("an input of type " + name + " is not known to the runner");
}

struct Input {
  const Type* type;
  /// Of one example, or of the whole state.
  std::vector<int32_t> shape;
  bool stacked = false;
  std::string file;
  uint64_t offset = 0;
  /// Number of the output that comes in again here, or -1.
  int carried = -1;
  /// Whether one call can take several examples.
  bool batched = false;

  size_t bytes() const {
    size_t count = type->bytes;
    for (int32_t size : shape) count *= size;
    return count;
  }
};

struct Plan {
  std::string model, scores;
  int64_t threads = 1, examples = 0, step = 1;
  bool any_batch = false, whole_calls = false;
  std::vector<Input> inputs;
  std::vector<std::string> outputs;
};

inline int64_t number(const char* text) {
  char* end = nullptr;
  const int64_t value = std::strtoll(text, &end, 10);
  if (end == text || *end != '\0') fail(std::string("'") + text + "' is no number");
  return value;
}

inline std::vector<int32_t> shape_of(const std::string& text) {
  std::vector<int32_t> shape;
  std::istringstream sizes(text == "-" ? "" : text);
  for (std::string size; std::getline(sizes, size, 'x');) shape.push_back(number(size.c_str()));
  return shape;
}

/// The words of a command line, one after another.
struct Words {
  int count, place;
  char** words;

  const char* next() {
    if (place >= count) fail("the command line ends too early");
    return words[place++];
  }
};

inline Input read_input(Words& words) {
  Input input{&type_named(words.next()), shape_of(words.next())};
  input.stacked = std::strcmp(words.next(), "stacked") == 0;
  input.file = words.next();
  input.offset = number(words.next());
  return input;
}

inline Input read_carried(Words& words) {
  Input input{&type_named(words.next()), shape_of(words.next())};
  input.carried = number(words.next());
  return input;
}

inline Input& input_numbered(Plan& plan, int64_t index) {
  if (index < 0 || index >= int64_t(plan.inputs.size())) fail("there is no such input");
  return plan.inputs[index];
}

inline Plan read_plan(int argc, char** argv) {
  Words words{argc, 1, argv};
  Plan plan;
  if (argc > 1) plan.model = words.next();
  while (words.place < argc) {
    const std::string option = words.next();
    if (option == "--threads") plan.threads = number(words.next());
    else if (option == "--examples") plan.examples = number(words.next());
    else if (option == "--step") plan.step = number(words.next());
    else if (option == "--any-batch") plan.any_batch = true;
    else if (option == "--scores") plan.scores = words.next();
    else if (option == "--input") plan.inputs.push_back(read_input(words));
    else if (option == "--carried") plan.inputs.push_back(read_carried(words));
    else if (option == "--whole-calls") plan.whole_calls = true;
    else if (option == "--batched") input_numbered(plan, number(words.next())).batched = true;
    else if (option == "--output") plan.outputs.push_back(words.next());
    else fail("there is no option '" + option + "'");
  }
  if (plan.step < 1 || plan.threads < 1) fail("--step and --threads are 1 or more");
  if (argc > 1 && plan.examples < 1) fail("there are no examples");
  return plan;
}

}  // namespace edgekd
