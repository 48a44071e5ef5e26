# SPDX-License-Identifier: BSD-2-Clause
# Reads the lists of tests/defects/, whose form tools/defects.sh tells. Without `name`: a line a defect with its name,
# its file, how it is built, the test and what is broken, parted by tabs. With name and tree: puts that defect into the
# file below tree, or says why that cannot be and exits 1.
function complain(text) {
  print at ": " text > "/dev/stderr"
  bad = 1
}
function load(path, text, line) {
  while ((getline line < path) > 0) text = text line "\n"
  close(path)
  return text
}
function put(path, text, i, found) {
  text = load(path)
  for (i = 1; i <= hunks; ++i) {
    found = index(text, old[i])
    if (found == 0) complain("applies no more: " file " has not the old text")
    else if (index(substr(text, found + 1), old[i])) complain("the old text is in " file " more than once")
    text = substr(text, 1, found - 1) new[i] substr(text, found + length(old[i]))
  }
  if (!bad) printf "%s", text > path
}
function end_of_defect() {
  if (at == "") return
  if (file == "" || test == "" || hunks == 0) complain("a file, a test and a change are wanted")
  if (seen[at]++) complain("the name is there twice")
  if (name == "") print at "\t" file "\t" how "\t" test "\t" broken
  if (name == at) put(tree "/" file)
}

/^#/ || /^$/ { next }
/^[a-z]/ {
  end_of_defect()
  at = $1
  if (!sub(/:$/, "", at) || NF < 3) complain("wanted is a name with a colon, then what is broken")
  broken = substr($0, length($1) + 2)
  file = test = ""
  how = "whole"
  hunks = 0
  side = "+"
  next
}
/^  in / { file = $2; if (NF > 2) how = $3; next }
/^  by / { test = substr($0, 6); next }
/^-/ {
  if (side == "+") { old[++hunks] = substr($0, 3); new[hunks] = "" }
  else old[hunks] = old[hunks] "\n" substr($0, 3)
  side = "-"
  next
}
/^\+/ {
  new[hunks] = (side == "-" ? "" : new[hunks] "\n") substr($0, 3)
  side = "+"
  next
}
{ complain("not understood: " $0) }
END {
  end_of_defect()
  exit bad
}
