// The part of PJRT's C interface that bundle.cpp uses: how a plugin of XLA compiles and runs programs.
//
// The layouts are those of version 0.94 of the interface. Within a major version functions are only added behind the
// others in the table, and fields behind the others in a structure, whose first field says how long it is. A plugin
// refuses structures that are shorter than those it knows; `Call` makes them longer than any, with zeros behind.
//
// SPDX-License-Identifier: MIT

#ifndef JAXPOT_PJRT_H
#define JAXPOT_PJRT_H

#include <cstddef>
#include <cstdint>

namespace pjrt {

constexpr int MAJOR = 0;
constexpr int MINOR = 30;    // the oldest: functions of the table up to BUFFER_UNSAFE_POINTER stand where they are now

enum Function {    // places in the table
  ERROR_DESTROY = 0,
  ERROR_MESSAGE = 1,
  PLUGIN_INITIALIZE = 3,
  PLUGIN_ATTRIBUTES = 4,
  EVENT_DESTROY = 5,
  EVENT_AWAIT = 8,
  CLIENT_CREATE = 10,
  CLIENT_PLATFORM_NAME = 12,
  CLIENT_ADDRESSABLE_DEVICES = 16,
  CLIENT_COMPILE = 20,
  CLIENT_BUFFER_FROM_HOST = 22,
  EXECUTABLE_DESTROY = 40,
  EXECUTABLE_OUTPUTS = 44,
  LOADED_EXECUTABLE = 51,
  LOADED_EXECUTE = 55,
  BUFFER_DESTROY = 58,
  BUFFER_BYTES = 64,
  BUFFER_TO_HOST = 70,
  BUFFER_UNSAFE_POINTER = 73,
  FUNCTIONS
};

enum Type { PRED = 1, S8 = 2, S32 = 4, S64 = 5, F32 = 11, F64 = 12 };
enum Semantics { COPIED = 0, IN_PLACE = 2 };    // in place: unchanged as long as there is the buffer
enum Kind { TEXT = 0, INTEGER = 1, INTEGERS = 2, FLOATING = 3, BOOLEAN = 4 };

struct Head {
  size_t size;
  void *extensions;
};

struct Version {
  Head head;
  int major, minor;
};

typedef void *(*Any)(void *);    // takes one of the structures below; returns an error or nothing

struct Api {
  Head head;
  Version version;
  Any functions[FUNCTIONS];
};

// A structure of arguments, with zeros behind.
template <class Fields> struct Call {
  struct {
    Head head;
    Fields fields;
    char behind[256];
  } memory;
  Call() : memory{} { memory.head.size = sizeof(memory); }
  Fields *operator->() { return &memory.fields; }
};

struct One {    // of functions that take one object and return one, or nothing
  void *object;
  void *result;
};

struct ErrorMessage {
  void *error;
  const char *text;
  size_t size;
};

struct NamedValue {
  Head head;
  const char *name;
  size_t name_size;
  int kind;
  union {
    const char *text;
    int64_t integer;
    const int64_t *integers;
    float floating;
    bool boolean;
  };
  size_t size;
};

struct Attributes {
  const NamedValue *values;
  size_t count;
};

struct ClientCreate {
  const NamedValue *options;
  size_t count;
  void *get, *get_argument, *put, *put_argument;
  void *client;
};

struct PlatformName {
  void *client;
  const char *name;
  size_t size;
};

struct Devices {
  void *client;
  void *const *devices;
  size_t count;
};

struct Program {
  Head head;
  const char *code;
  size_t code_size;
  const char *format;
  size_t format_size;
};

struct Compile {
  void *client;
  const Program *program;
  const char *options;
  size_t options_size;
  void *executable;
};

struct BufferFromHost {
  void *client;
  const void *data;
  int type;
  const int64_t *dimensions;
  size_t count;
  const int64_t *strides;
  size_t strides_count;
  int semantics;
  void *device, *memory, *layout;
  void *done;
  void *buffer;
};

struct ExecuteOptions {
  void *send, *receive;
  size_t sends, receives;
  int launch;
  const int64_t *not_donated;
  size_t not_donated_count;
  void *context;
  const char *location;
};

struct Execute {
  void *executable;
  void *options;
  void *const *const *arguments;
  size_t devices, count;
  void **const *outputs;
  void **done;
  void *device;
};

struct ToHost {
  void *source;
  void *layout;
  void *to;
  size_t size;
  void *done;
};

}    // namespace pjrt

#endif
