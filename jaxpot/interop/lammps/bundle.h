// Models in files that run without Python; see bundle.cpp.
//
// SPDX-License-Identifier: MIT

#ifndef JAXPOT_BUNDLE_H
#define JAXPOT_BUNDLE_H

#include "model.h"

bool jaxpot_is_bundle(const char *path);
extern "C" void jaxpot_bundle_open(jaxpot_model *);
extern "C" void jaxpot_bundle_call(jaxpot_rows *);

#endif
