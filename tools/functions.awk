# SPDX-License-Identifier: BSD-2-Clause
# Prints functions of C and C++ sources that are longer than `most` lines: a brace that follows a parenthesis, outside
# any other function, opens one. Braces in strings and comments are skipped.
FNR == 1 { depth = 0; body = 0; text = ""; comment = 0 }
{
  line = $0
  if (line ~ /^[ \t]*#/) next
  gsub(/\\./, "", line)
  gsub(/"[^"]*"/, "\"\"", line)
  gsub(/'[^']'/, "0", line)
  for (i = 1; i <= length(line); ++i) {
    c = substr(line, i, 1)
    two = substr(line, i, 2)
    if (comment) { if (two == "*/") { comment = 0; ++i } continue }
    if (two == "/*") { comment = 1; ++i; continue }
    if (two == "//") break
    if (c == "{") {
      ++depth
      if (!body && text ~ /\)/ && text !~ /^[ \t]*(namespace|extern|enum)/) { body = depth; began = FNR; what = text }
      if (!body) text = ""
    } else if (c == "}") {
      if (body == depth) {
        if (FNR - began + 1 > most) {
          gsub(/[ \t]+/, " ", what)
          printf "%s:%d: function of %d lines:%s\n", FILENAME, began, FNR - began + 1, what
        }
        body = 0
      }
      --depth
      if (!body) text = ""
    } else if (!body) text = (c == ";") ? "" : text c
  }
  if (!body) text = text " "
}
