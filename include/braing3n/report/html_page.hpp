// One self-contained HTML page: headings, paragraphs, tables, rows of charts. Readable in light and dark, and on paper.
#pragma once

#include <string>
#include <vector>

#include "braing3n/report/chart.hpp"

namespace braing3n::inline BRAING3N_ABI {

class HtmlPage {
 public:
  HtmlPage(const std::string& title, const std::string& subtitle) {
    text_ =
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        "content='width=device-width,initial-scale=1'><title>" +
        escaped(title) + "</title><style>" + style() + "</style></head><body><main><h1>" + escaped(title) +
        "</h1><p class='subtitle'>" + escaped(subtitle) + "</p>";
  }
  void heading(const std::string& text) { text_ += "<h2>" + escaped(text) + "</h2>"; }
  void subheading(const std::string& text) { text_ += "<h3>" + escaped(text) + "</h3>"; }
  void paragraph(const std::string& text) { text_ += "<p>" + escaped(text) + "</p>"; }
  void note(const std::string& text) { text_ += "<p class='note'>" + escaped(text) + "</p>"; }
  /// A box for what needs attention.
  void alert(const std::string& text) { text_ += "<p class='alert'>" + escaped(text) + "</p>"; }
  void list(const std::vector<std::string>& items, std::size_t most = 20) {
    text_ += "<ul>";
    for (std::size_t i = 0; i < std::min(items.size(), most); ++i) text_ += "<li>" + escaped(items[i]) + "</li>";
    if (items.size() > most) text_ += concat("<li>and ", items.size() - most, " more, in panel.json</li>");
    text_ += "</ul>";
  }
  /// Cells are text; a cell that starts with '!' is marked.
  void table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows) {
    text_ += "<div class='wide'><table><thead><tr>";
    for (const std::string& cell : header) text_ += "<th>" + escaped(cell) + "</th>";
    text_ += "</tr></thead><tbody>";
    for (const auto& row : rows) {
      text_ += "<tr>";
      for (const std::string& cell : row) {
        const bool marked = !cell.empty() && cell[0] == '!';
        text_ += (marked ? "<td class='marked'>" : "<td>") + escaped(std::string_view(cell).substr(marked ? 1 : 0)) +
                 "</td>";
      }
      text_ += "</tr>";
    }
    text_ += "</tbody></table></div>";
  }
  void charts(const std::vector<Chart>& charts) {
    text_ += "<div class='charts'>";
    for (const Chart& chart : charts) text_ += "<figure>" + chart.svg() + "</figure>";
    text_ += "</div>";
  }
  /// A PNG file, embedded in the page.
  void picture(std::string_view png, const std::string& caption) {
    text_ += "<figure class='picture'><img alt='" + escaped(caption) + "' src='data:image/png;base64," + base64(png) +
             "'><figcaption>" + escaped(caption) + "</figcaption></figure>";
  }
  /// A line for a terminal.
  void command(const std::string& text) { text_ += "<pre>" + escaped(text) + "</pre>"; }
  std::string finish(const std::string& footer) const {
    return text_ + "<footer>" + escaped(footer) + "</footer></main></body></html>\n";
  }

 private:
  static std::string base64(std::string_view bytes) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
      const auto byte = [&](std::size_t k) {
        return i + k < bytes.size() ? static_cast<unsigned>(static_cast<unsigned char>(bytes[i + k])) : 0u;
      };
      const unsigned v = byte(0) << 16 | byte(1) << 8 | byte(2);
      for (std::size_t k = 0; k < 4; ++k) out += i + k <= bytes.size() ? digits[v >> (18 - 6 * k) & 63u] : '=';
    }
    return out;
  }
  static const char* style() {
    return ":root{--ink:#1d2733;--soft:#5b6875;--line:#d9e0e7;--paper:#fff;--band:#f4f7fa;--mark:#9c2f00;--warm:#"
           "fff4e8}"
           "@media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--soft:#9aa7b4;--line:#33404d;--paper:#141a21;--band:"
           "#1c242d;--mark:#"
           "ff9a66;--warm:#33261a}}"
           "body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe "
           "UI',Roboto,'Liberation "
           "Sans',sans-serif}"
           "main{max-width:1080px;margin:0 auto;padding:28px 20px "
           "48px}h1{font-size:26px;margin:0}h2{font-size:19px;margin:36px 0 "
           "8px;padding-top:14px;"
           "border-top:1px solid var(--line)}h3{font-size:16px;margin:24px 0 4px}p{margin:6px "
           "0;max-width:78ch}.subtitle,.note,footer{color:var(--soft)}"
           ".note{font-size:13px}.alert{background:var(--warm);border-left:4px solid var(--mark);padding:8px "
           "12px;max-width:none}"
           ".wide{overflow-x:auto;margin:10px "
           "0}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:14px}"
           "th,td{padding:5px 12px;text-align:right;white-space:nowrap;border-bottom:1px solid "
           "var(--line)}th{font-weight:600;color:var(--soft);background:var(--band)}"
           "th{white-space:normal;vertical-align:bottom}th:first-child,td:first-child{text-align:left}.marked{color:"
           "var(--mark);font-weight:600}"
           ".charts{display:flex;flex-wrap:wrap;gap:14px}figure{margin:0;width:320px}svg{width:100%;height:auto}svg "
           "text{font:11px "
           "system-ui,'Liberation Sans',sans-serif}svg .tick,svg .axis{fill:var(--soft)}"
           "svg .title{font-weight:600;font-size:12px;fill:var(--ink)}svg text.legend{font-size:11px}svg "
           ".grid{stroke:var(--line);stroke-width:.7}"
           ".picture{width:auto;max-width:100%;margin:10px 0}.picture "
           "img{max-width:100%;image-rendering:pixelated}figcaption{color:var(--soft);font-size:13px}"
           "pre{background:var(--band);padding:8px 12px;overflow-x:auto;font-size:13px}svg "
           ".frame{fill:none;stroke:var(--soft);stroke-width:.8}ul{margin:6px "
           "0}footer{margin-top:40px;font-size:13px}@media "
           "print{main{max-width:none}figure{break-inside:avoid}}";
  }
  std::string text_;
};

}  // namespace braing3n::inline BRAING3N_ABI
