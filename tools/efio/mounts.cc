// SPDX-License-Identifier: BSD-2-Clause
// Lines of mountinfo are "ID PARENT DEVICE ROOT POINT OPTIONS [OPTIONAL]... - TYPE SOURCE SUPER", see proc(5).
#include "mounts.hh"

#include <fstream>
#include <sstream>

namespace tool {
namespace {

struct line {
  std::string id;
  mount what;
};

// Blanks, tabs, newlines and backslashes of names are written as three octal digits.
std::string unescape(const std::string &text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool next(std::ifstream &in, line *out) {
  std::string text, parent, device, root, word;
  if (!std::getline(in, text)) return false;
  std::istringstream words(text);
  words >> out->id >> parent >> device >> root >> out->what.point >> out->what.options;
  while (words >> word && word != "-") {}
  words >> out->what.type >> out->what.source;
  out->what.point = unescape(out->what.point);
  out->what.source = unescape(out->what.source);
  return true;
}

} // namespace

mount mount_of(int fd) {
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(fd));
  std::string name, id;
  while (info >> name >> id && name != "mnt_id:") {}
  std::ifstream in("/proc/self/mountinfo");
  for (line l; next(in, &l);)
    if (l.id == id) return l.what;
  return {};
}

mount mount_of(const std::string &path) {
  mount best;
  std::ifstream in("/proc/self/mountinfo");
  for (line l; next(in, &l);) {
    std::string point = l.what.point == "/" ? "/" : l.what.point + "/";
    // A later mount hides an earlier one.
    if ((path + "/").rfind(point, 0) == 0 && l.what.point.size() >= best.point.size()) best = l.what;
  }
  return best;
}

} // namespace tool
