"""Made-up Chinese scientific prose: sentence patterns, names, references."""

from __future__ import annotations

from pagegen.chinese_words import (
    ACTIVE,
    COMMON_ADJS,
    COMMON_NOUNS,
    FIELDS,
    GIVEN,
    ITEM_VERBS,
    LEADS,
    PLACES,
    SCHOOLS,
    SECTIONS,
    SURNAMES,
    TAILS,
    VERBS,
)
from pagegen.english import EnglishProse
from pagegen.english_words import MATHS
from pagegen.text import MATH_END, MATH_START, Prose, barred, spaced


class ChineseProse(Prose):
    """Chinese of one made-up paper."""

    language = "zh"
    foreign_share = 0.3
    """How many of the references are English."""

    def _start(self) -> None:
        field = FIELDS[self.rng.choice(sorted(FIELDS))]
        self.nouns = spaced(field["noun"])
        self.adjs = spaced(field["adj"])
        self.acts = spaced(field["act"])
        self.units = barred(field["unit"])
        self.journals = barred(field["journal"])
        for words in (self.nouns, self.adjs, self.acts):
            self.rng.shuffle(words)
        self.foreign = EnglishProse(self.rng)

    def _labels(self) -> None:
        self.figure_word, self.table_word = self.rng.choice(
            [("图", "表"), ("图", "表"), ("图 ", "表 "), ("Fig. ", "Table ")]
        )

    def noun(self) -> str:
        """A noun, most from the field."""
        return self.zipf(self.nouns if self.chance(0.68) else COMMON_NOUNS)

    def adjective(self) -> str:
        """A modifier."""
        return self.zipf(self.adjs if self.chance(0.6) else COMMON_ADJS)

    def phrase(self, depth: int = 0) -> str:
        """A noun phrase."""
        text = self.noun()
        if self.chance(0.3):
            text = text + self.zipf(self.acts)
        if self.chance(0.4):
            text = self.adjective() + text
        if depth < 1 and self.chance(0.35):
            text = self.phrase(1) + "的" + text
        if depth < 1 and self.chance(0.12):
            text += self.rng.choice(["与", "和", "及"]) + self.phrase(1)
        return text

    def math(self) -> str:
        """A short inline formula between the marks of mathematics."""
        code = self.inline() if self.inline is not None else self.zipf(MATHS)
        return MATH_START + code + MATH_END

    def quantity(self) -> str:
        """A number with its unit."""
        r = self.rng
        number = r.choice([f"{r.randint(2, 99)}", f"{r.uniform(0.1, 60):.1f}", f"{r.random():.2f}"])
        return f"{number} {self.zipf(self.units)}".replace(" %", "%")

    def clause(self) -> str:
        """A clause without its punctuation."""
        r = self.rng
        kind = r.random()
        if kind < 0.36:
            how = r.choice(["", "能够", "可以", "将", "显著", "直接"])
            return f"{self.phrase()}{how}{self.zipf(VERBS)}{self.phrase()}"
        if kind < 0.56:
            who = r.choice(["本文", "", "我们", "文献中", "试验中"])
            return f"{who}{self.zipf(ACTIVE)}{self.phrase()}"
        if kind < 0.68:
            value = self.math() if self.math_share and self.chance(0.6) else self.quantity()
            return f"{self.phrase()}{r.choice(['为', '约为', '达到', '取', '由此降至'])} {value}"
        if kind < 0.8:
            change = r.choice(["增加", "减小", "变化"])
            then = r.choice(["逐渐增大", "明显下降", "趋于稳定", "先增后减", "基本不变"])
            return f"随着{self.phrase()}的{change}，{self.phrase()}{then}"
        if kind < 0.9:
            mark = r.choice(
                [
                    f"如图{r.randint(1, 9)}所示",
                    f"由表{r.randint(1, 6)}可知",
                    f"根据式({r.randint(1, 12)})",
                ]
            )
            return f"{mark}，{self.phrase()}{self.zipf(VERBS)}{self.phrase()}"
        return f"对{self.phrase()}进行{self.zipf(self.acts)}"

    def sentence(self) -> str:
        """One sentence, with its full stop."""
        r = self.rng
        parts = [self.clause() for _ in range(r.choice((1, 2, 2, 3)))]
        if self.chance(0.28):
            parts[0] = self.zipf(LEADS) + "，" + parts[0]
        if self.chance(0.15):
            parts.append(self.zipf(TAILS))
        if self.math_share and self.chance(self.math_share):
            parts.append(f"其中 {self.math()} 为{self.phrase()}")
        text = "，".join(parts)
        if self.chance(0.16):
            text += f"[{r.randint(1, 40)}]"
        return text + r.choice(["。", "。", "。", "。", "。", "；"])

    def title(self) -> str:
        """The title of a paper."""
        r = self.rng
        return r.choice(
            [
                f"基于{self.phrase(1)}的{self.phrase(1)}{self.zipf(self.acts)}方法研究",
                f"{self.phrase(1)}对{self.phrase(1)}{self.zipf(self.acts)}的影响",
                f"{self.phrase()}{self.zipf(self.acts)}与{self.zipf(self.acts)}分析",
                f"一种{self.adjective()}{self.phrase(1)}{self.zipf(self.acts)}算法",
                f"{self.adjective()}{self.noun()}的{self.zipf(self.acts)}机理及其应用",
            ]
        )

    def heading(self) -> str:
        """A section's title, without its number."""
        if self.chance(0.5):
            return self.zipf(SECTIONS)
        return self.rng.choice(
            [
                f"{self.phrase(1)}的{self.zipf(self.acts)}",
                f"{self.adjective()}{self.noun()}分析",
                f"{self.noun()}与{self.noun()}",
                f"{self.phrase(1)}{self.zipf(self.acts)}结果",
            ]
        )

    def caption(self, kind: str) -> str:
        """First sentence of a caption, after its label. ``kind`` is ``figure`` or ``table``."""
        ends = ["示意图", "曲线", "流程图", "对比", "分布", "变化"]
        if kind == "table":
            ends = ["结果", "参数", "比较", "统计结果", "对比", "汇总"]
        return f"{self.phrase()}{self.rng.choice(ends)}"

    def caption_label(self, kind: str, number: str) -> str:
        """``图3`` or ``表2`` in this paper's spelling."""
        return f"{self.figure_word if kind == 'figure' else self.table_word}{number}"

    def person(self, *, short: bool = False) -> str:
        """A name."""
        return self.zipf(SURNAMES) + self.rng.choice(GIVEN)

    def affiliation(self) -> str:
        """An institute's address."""
        place = self.rng.choice(PLACES)
        return f"{place}大学 {self.rng.choice(SCHOOLS)}，{place} {self.rng.randint(100000, 850000)}"

    def abstract_label(self) -> str:
        """The word before an abstract."""
        return self.rng.choice(["摘要：", "摘　要：", "[摘要]", "摘要", "【摘　要】"])

    def keywords(self) -> tuple[str, str]:
        """Label and text of the keywords."""
        label = self.rng.choice(["关键词：", "关键词", "[关键词]"])
        return label, self.rng.choice(["；", "；", "　"]).join(
            self.phrase(1) for _ in range(self.rng.randint(3, 5))
        )

    def received(self) -> str:
        """Dates and fund of an article."""
        r = self.rng
        return (
            f"收稿日期：{r.randint(2000, 2022)}-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}　"
            f"基金项目：国家自然科学基金资助项目({r.randint(30000000, 61999999)})"
        )

    def reference(self) -> str:
        """One entry of a reference list, without its mark (GB/T 7714)."""
        r = self.rng
        if self.chance(self.foreign_share):
            return self.foreign.reference()
        names = "，".join(self.person() for _ in range(r.choice((1, 2, 3, 3))))
        if self.chance(0.3):
            names += "，等"
        year, page = r.randint(1985, 2022), r.randint(1, 900)
        title = self.title()
        if self.chance(0.15):
            return f"{names}．{title}[D]．{r.choice(PLACES)}：{r.choice(PLACES)}大学，{year}．"
        if self.chance(0.15):
            return (
                f"{names}．{title}[M]．{r.choice(PLACES)}：科学出版社，{year}：{page}-{page + 9}．"
            )
        return (
            f"{names}．{title}[J]．{self.zipf(self.journals)}，{year}，"
            f"{r.randint(2, 60)}({r.randint(1, 12)})：{page}-{page + r.randint(3, 12)}．"
        )

    def list_item(self) -> str:
        """One item of a list in the text."""
        verb = self.rng.choice(ITEM_VERBS)
        if self.chance(0.6):
            return f"{verb}{self.phrase()}，{self.clause()}。"
        return self.sentence()

    def item_sentence(self) -> str:
        """A sentence that continues a list's item."""
        return self.sentence()

    def running_head(self) -> str:
        """The words of a page's head."""
        r = self.rng
        return r.choice(
            [
                f"第{r.randint(1, 12)}期",
                f"{self.person()}等：{self.title()}",
                f"{self.zipf(self.journals)}",
                f"{self.zipf(self.journals)}　{r.randint(1990, 2022)}年第{r.randint(1, 60)}卷",
                f"第{r.randint(1, 60)}卷　第{r.randint(1, 12)}期　{self.zipf(self.journals)}",
                f"{r.randint(1990, 2022)}年{r.randint(1, 12)}月",
            ]
        )

    def sure_running_head(self) -> str:
        """A running head that its first words give away."""
        r = self.rng
        return r.choice(
            [
                f"{self.person()}等：{self.title()}",
                f"{self.zipf(self.journals)}　{r.randint(1990, 2022)}年第{r.randint(1, 60)}卷",
                f"第{r.randint(1, 60)}卷　第{r.randint(1, 12)}期　{self.zipf(self.journals)}",
            ]
        )

    def foot(self) -> str:
        """The words at a page's foot."""
        r = self.rng
        return r.choice(
            [
                f"万方数据库　{r.randint(2000, 2022)}-{r.randint(1, 12):02d}",
                f"{self.zipf(self.journals)}编辑部",
                f"http://www.example.cn/{r.randint(100, 999)}",
                "本刊网址：www.example.com.cn　E-mail：bjb@example.cn",
            ]
        )

    def footnote(self) -> str:
        """A footnote's text."""
        r = self.rng
        return r.choice(
            [
                self.received(),
                f"作者简介：{self.person()}（{r.randint(1950, 1995)}—），{r.choice('男女')}，"
                f"{r.choice(PLACES)}人，教授，主要从事{self.phrase(1)}研究。",
                f"通信作者：{self.person()}，E-mail：author{r.randint(1, 99)}@example.cn",
                self.sentence(),
            ]
        )

    def cell_head(self) -> str:
        """The head of a table's column."""
        r = self.rng
        return r.choice(
            [
                self.noun(),
                self.noun(),
                f"{self.noun()}/{self.zipf(self.units)}",
                "组别",
                "编号",
                "平均值",
                "P值",
            ]
        )

    def row_head(self) -> str:
        """The head of a table's row."""
        r = self.rng
        return r.choice(
            [
                self.noun(),
                self.adjective() + self.noun(),
                f"{self.noun()}{r.choice('ABCDE')}",
                f"{r.choice('ABCDE')}组",
            ]
        )

    def figure_word_label(self) -> str:
        """A word or two as they stand on an axis, in a legend or in a diagram's box."""
        r = self.rng
        return r.choice(
            [
                self.noun(),
                f"{self.noun()}/{self.zipf(self.units)}",
                self.noun() + self.zipf(self.acts),
            ]
        )

    def references_title(self) -> str:
        """The title above a reference list."""
        return self.rng.choice(["参考文献", "参考文献：", "参 考 文 献", "参考文献(References)"])
