#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Prints the names that manual pages document: man-names.sh PAGE... -> lines "name section file". The names are the .Nm
# of each page's NAME section; a page that is a single .so line documents its own file name.
for page in "$@"; do
  file=${page##*/}
  if grep -q '^\.so ' "$page"; then
    echo "${file%.*} ${file##*.} $file"
    continue
  fi
  awk -v section="${file##*.}" -v file="$file" '
    /^\.Sh / { inside = ($2 == "NAME"); next }
    inside && $1 == ".Nm" { for (i = 2; i <= NF; ++i) if ($i != ",") print $i, section, file }
  ' "$page"
done
