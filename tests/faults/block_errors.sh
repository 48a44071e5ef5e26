#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Errors of a block device below ext4: an image on faultfs, a loop device over it; see block_errors.cc.
set -eu
. "${0%/*}/lib.sh"

need_program block_errors
need_tool mkfs.ext4
fault_fs below --direct
truncate -s 64M "$at/below.back/img"
file_system ext4 "$at/below.back/img"
disk "$at/below/img"
# Times that change must not reach the disk by themselves: the write that is hit is the one of the data.
mount_at ext4 -t ext4 -o noatime,lazytime,commit=600 "$loop"
timeout 3600 "$programs/block_errors" "$at/below" "$at/below.back" "$at/ext4" "$fault_pid"
