# SPDX-License-Identifier: BSD-2-Clause
# Sums up what gcov -t -b -c tells (on standard input, of all objects): a table per file of the lines and branches that
# were run, and in the file `missed` what was not. -v only=REGEX: the files that count. A line or branch counts as run
# if it was in any object and any instance of a template. `throw` branches are left out: there are no exceptions. So is
# the side of EF_CHECK that was not taken: it is there for mistakes of our own, and ends the process.

# The branches of one line of one instance. Instances that differ in number differ in code: each kind is counted.
function end_of_line(i, key) {
  for (i = 0; i < taken_count; ++i) {
    if (checks && taken[i] == 0) continue
    key = file SUBSEP line SUBSEP taken_count SUBSEP i
    if (!(key in branch)) branch[key] = 0
    branch[key] += taken[i]
  }
  taken_count = 0
}

/^ *-: *0:Source:/ {
  end_of_line()
  file = $0
  sub(/^ *-: *0:Source:/, "", file)
  sub(/^\.\//, "", file)
  counts = file ~ only
  if (counts) files[file] = 1
  next
}
!counts { next }
/^branch / {
  if ($0 ~ /\(throw\)/) next
  taken[taken_count++] = $3 == "taken" ? $4 + 0 : 0
  next
}
/^ *[-#=0-9][^:]*: *[0-9]+:/ {
  end_of_line()
  split($0, field, ":")
  line = field[2] + 0
  text = $0
  sub(/^[^:]*:[^:]*:/, "", text)
  checks = text ~ /EF_CHECK\(/
  gsub(/^ +| +$/, "", field[1])
  if (field[1] == "-" || line == 0) next
  key = file SUBSEP line
  if (!(key in run)) {
    run[key] = 0
    said[key] = text
  }
  run[key] += field[1] + 0
  if (line > last[file]) last[file] = line
}

function share(part, all) { return all ? sprintf("%5.1f", 100 * part / all) : "    -" }
function row(name, l, ls, b, bs) {
  printf "%-32s %5d of %5d  %s %%   %5d of %5d  %s %%\n", name, l, ls, share(l, ls), b, bs, share(b, bs)
}

END {
  end_of_line()
  for (key in branch) {
    split(key, k, SUBSEP)
    ++branches[k[1]]
    at = k[1] SUBSEP k[2]
    if (branch[key]) ++branches_run[k[1]]
    else ++left_out[at]
    ++of_line[at]
  }
  for (key in run) {
    split(key, k, SUBSEP)
    ++lines[k[1]]
    if (run[key]) ++lines_run[k[1]]
  }
  printf "%-32s %14s %9s   %14s %9s\n", "file", "lines", "", "branches", ""
  n = 0
  for (f in files) if (lines[f]) name[++n] = f
  for (i = 2; i <= n; ++i) { # by name
    f = name[i]
    for (j = i - 1; j > 0 && name[j] > f; --j) name[j + 1] = name[j]
    name[j + 1] = f
  }
  printf "" >missed
  for (i = 1; i <= n; ++i) {
    f = name[i]
    row(f, lines_run[f], lines[f], branches_run[f], branches[f])
    l += lines_run[f]; ls += lines[f]; b += branches_run[f]; bs += branches[f]
    for (j = 1; j <= last[f]; ++j) {
      at = f SUBSEP j
      if (!(at in run)) continue
      if (!run[at]) print f ":" j ": not run: " said[at] >missed
      else if (left_out[at]) print f ":" j ": " left_out[at] " of " of_line[at] " branches not taken: " said[at] >missed
    }
  }
  row("all", l, ls, b, bs)
}
