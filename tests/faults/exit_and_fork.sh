#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Processes that end or fork in every state of the library: see exit_and_fork.cc.
set -eu
. "${0%/*}/lib.sh"
need_program exit_and_fork

"$programs/exit_and_fork" "$at" "$(trials 500 4000)" "$(trials 2000 10000)"
