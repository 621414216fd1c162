#include "library/pattern.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include "library/bad_input.hpp"
#include "library/words.hpp"

namespace bitnet::library {

constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

class PatternParser {
public:
    explicit PatternParser(std::string_view text) : text_(text) {}

    std::vector<Pattern::Alternative> parse() {
        auto alternatives = parse_alternatives();
        if (!is_at_end()) fail();
        return alternatives;
    }

private:
    std::vector<Pattern::Alternative> parse_alternatives() {
        std::vector<Pattern::Alternative> all;
        do {
            for (auto& alternative : parse_sequence()) all.push_back(std::move(alternative));
        } while (accept("|"));
        return all;
    }

    // More than one when it begins with a group, whose alternatives are written out.
    std::vector<Pattern::Alternative> parse_sequence() {
        std::vector<Pattern::Alternative> sequence(1);
        while (!is_at_end() && peek() != '|' && peek() != ')') {
            if (accept("(?!")) {
                Pattern::Item item{.set = parse_set()};
                item.is_lookahead = true;
                expect(")");
                append(sequence, item);
            } else if (accept("(?:")) {
                if (sequence.size() != 1 || !sequence.front().empty()) fail();
                sequence = parse_alternatives();
                expect(")");
            } else {
                append(sequence, parse_item());
            }
        }
        return sequence;
    }

    static void append(std::vector<Pattern::Alternative>& sequence, const Pattern::Item& item) {
        for (auto& alternative : sequence) alternative.push_back(item);
    }

    Pattern::Item parse_item() {
        Pattern::Item item{.set = parse_set()};
        if (accept("?")) {
            item.least = 0;
        } else if (accept("*")) {
            item.least = 0, item.most = no_limit;
        } else if (accept("+")) {
            item.most = no_limit;
        } else if (accept("{")) {
            item.least = parse_number();
            expect(",");
            item.most = parse_number();
            expect("}");
        }
        return item;
    }

    std::size_t parse_number() {
        std::size_t number = 0;
        if (is_at_end() || peek() < '0' || peek() > '9') fail();
        while (!is_at_end() && peek() >= '0' && peek() <= '9')
            number = number * 10 + std::size_t(take() - '0');
        return number;
    }

    Pattern::Set parse_set() {
        Pattern::Set set;
        if (!accept("[")) {
            parse_member(set, false);
            return set;
        }
        set.is_negated = accept("^");
        while (!accept("]")) parse_member(set, true);
        return set;
    }

    void parse_member(Pattern::Set& set, bool in_brackets) {
        if (accept("\\")) return parse_escape(set);
        if (is_at_end()) fail();
        const char first = take();
        // These mean something outside of brackets and are not used there.
        if (!in_brackets && std::string_view(".^$*+?{}()|[]").find(first) != std::string_view::npos) fail();
        if (in_brackets && first == '[') fail();
        char last = first;
        if (in_brackets && accept("-")) last = take();
        if (static_cast<unsigned char>(first) >= 0x80 || static_cast<unsigned char>(last) >= 0x80) fail();
        set.ranges.emplace_back(first, last);
    }

    void parse_escape(Pattern::Set& set) {
        if (accept("p{L}"))
            set.inside |= letter;
        else if (accept("p{N}"))
            set.inside |= number;
        else if (accept("p{M}"))
            set.inside |= mark;
        else if (accept("p{P}"))
            set.inside |= punctuation;
        else if (accept("s"))
            set.inside |= space;
        else if (accept("S"))
            set.non_space = true;
        else if (accept("r"))
            set.ranges.emplace_back('\r', '\r');
        else if (accept("n"))
            set.ranges.emplace_back('\n', '\n');
        else if (!is_at_end() && std::string_view("$+^|.*?()[]{}\\-").find(peek()) != std::string_view::npos)
            parse_literal(set);
        else
            fail();
    }

    void parse_literal(Pattern::Set& set) {
        const char literal = take();
        set.ranges.emplace_back(literal, literal);
    }

    bool is_at_end() const { return at_ == text_.size(); }
    char peek() const { return text_[at_]; }
    char take() {
        if (is_at_end()) fail();
        return text_[at_++];
    }
    bool accept(std::string_view word) {
        if (text_.substr(at_, word.size()) != word) return false;
        at_ += word.size();
        return true;
    }
    void expect(std::string_view word) {
        if (!accept(word)) fail();
    }
    [[noreturn]] void fail() const {
        throw BadInput("the pattern " + quoted(text_) + " of a pre-tokenizer cannot be read at character " +
                       std::to_string(at_));
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

Pattern::Pattern(std::string_view text) : alternatives_(PatternParser(text).parse()) {}

bool Pattern::Set::contains(char32_t code) const {
    const Classes classes = classes_of(code);
    bool found = (classes & inside) != 0 || (non_space && (classes & space) == 0);
    for (const auto& [first, last] : ranges) found = found || (first <= code && code <= last);
    return found != is_negated;
}

bool Pattern::matches(std::span<const Item> items, std::span<const char32_t> text, std::size_t at,
                      std::size_t& end) {
    if (items.empty()) {
        end = at;
        return true;
    }
    const Item& item = items.front();
    if (item.is_lookahead) {
        const bool follows = at < text.size() && item.set.contains(text[at]);
        return !follows && matches(items.subspan(1), text, at, end);
    }
    std::size_t taken = 0;
    while (taken < item.most && at + taken < text.size() && item.set.contains(text[at + taken])) ++taken;
    for (; taken + 1 > item.least; --taken) {
        if (matches(items.subspan(1), text, at + taken, end)) return true;
        if (taken == 0) break;
    }
    return false;
}

std::size_t Pattern::match_end(std::span<const char32_t> text, std::size_t at) const {
    std::size_t end = at;
    const auto fits = [&](const Alternative& items) { return matches(items, text, at, end); };
    return std::ranges::any_of(alternatives_, fits) ? end : at;
}

std::vector<std::pair<std::size_t, std::size_t>> cut(std::span<const char32_t> text,
                                                     std::span<const Pattern> patterns) {
    std::vector<std::pair<std::size_t, std::size_t>> pieces{{0, text.size()}};
    for (const Pattern& pattern : patterns) {
        std::vector<std::pair<std::size_t, std::size_t>> finer;
        for (const auto& [start, stop] : pieces) {
            const auto piece = text.subspan(0, stop).subspan(start);
            std::size_t between = 0;  // where the text began that no match has taken
            for (std::size_t at = 0; at < piece.size();) {
                const std::size_t end = pattern.match_end(piece, at);
                if (end == at) {
                    ++at;
                    continue;
                }
                if (between < at) finer.emplace_back(start + between, start + at);
                finer.emplace_back(start + at, start + end);
                between = at = end;
            }
            if (between < piece.size()) finer.emplace_back(start + between, stop);
        }
        pieces = std::move(finer);
    }
    return pieces;
}

}  // namespace bitnet::library
