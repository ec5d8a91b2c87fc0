"""Made-up Chinese scientific prose: words by field, sentence patterns, names, references."""

from __future__ import annotations

from lmv3det.synthetic.english import _MATHS, EnglishProse
from lmv3det.synthetic.text import MATH_END, MATH_START, Prose

FIELDS: dict[str, dict[str, str]] = {
    "计算": {
        "noun": """模型 网络 特征 算法 图像 样本 数据集 损失函数 分类器 编码器 节点 用户 语义 文本
            目标 权重 卷积层 注意力机制 轨迹 词向量 标签 候选区域 任务 服务器 任务队列 拓扑结构""",
        "adj": """深层 稀疏 多尺度 局部 全局 自适应 分布式 轻量化 端到端 鲁棒 高维 并行 动态 联合""",
        "act": """训练 检测 识别 分割 预测 聚类 优化 调度 检索 融合 编码 压缩 推理""",
        "unit": "ms|MB|层|轮|个|次|%",
        "journal": "计算机学报|软件学报|自动化学报|计算机研究与发展|中文信息学报|电子学报",
    },
    "工程": {
        "noun": """结构 载荷 应力 混凝土 钢筋 试件 裂缝 轴承 电机 转子 传感器 电压 逆变器 滑模面 振动
            管道 围岩 边坡 桩基 焊缝 齿轮 叶片 流场 温度场 控制器 变压器 阻尼器 刀具 电池""",
        "adj": """横向 轴向 动态 非线性 高温 复合 预应力 疲劳 弹塑性 大型 高速 低频 稳态 瞬态""",
        "act": """加载 冷却 控制 监测 加工 诊断 变形 仿真 焊接 辨识 补偿 试验 减振""",
        "unit": "MPa|kN|mm|℃|Hz|kW|r/min|%",
        "journal": "机械工程学报|土木工程学报|振动与冲击|中国电机工程学报|岩土工程学报|焊接学报",
    },
    "医学": {
        "noun": """患者 细胞 蛋白 基因 血清 组织 肿瘤 受体 炎症 药物 病灶 剂量 感染 血压 抗体 对照组
            观察组 小鼠 血糖 通路 疗效 症状 心肌 肝脏 神经元 表达水平 不良反应 生存率""",
        "adj": """慢性 急性 临床 重症 早期 术后 免疫 代谢 原发性 老年 继发性 局部 长期 双侧""",
        "act": """治疗 诊断 随访 表达 凋亡 增殖 手术 护理 检测 干预 给药 染色 培养""",
        "unit": "例|mg|d|mmol/L|岁|周|%|mL",
        "journal": "中华医学杂志|中国药理学通报|中华内科杂志|中国现代医学杂志|解放军医学杂志",
    },
    "地学": {
        "noun": """流域 降水 土壤 植被 含水层 径流 地下水 沉积物 断裂带 岩体 矿床 气溶胶 冰川 森林
            生物量 盐度 储层 湖泊 湿地 农田 土地利用 物种 污染物 遥感影像 地表温度 蒸散量 烃源岩""",
        "adj": """季节性 区域 年均 表层 干旱 高寒 沿海 深部 人为 空间 垂直 多年 典型 热带""",
        "act": """侵蚀 沉积 迁移 采样 演化 监测 反演 修复 施肥 灌溉 蒸发 富集 模拟""",
        "unit": "km|mm|a|mg/kg|hm²|m|%|℃",
        "journal": "地理学报|生态学报|岩石学报|水利学报|土壤学报|石油学报|地球物理学报",
    },
}
COMMON_NOUNS = """方法 结果 系统 参数 过程 条件 问题 数据 影响 关系 变化 性能 误差 实验 精度 效率
    指标 水平 范围 因素 特性 机理 分布 阶段 理论 情况 规律 状态 比例 质量""".split()
COMMON_ADJS = (
    """主要 不同 较大 显著 相关 初始 平均 最大 实际 传统 有效 综合 相对 明显 相应""".split()
)
VERBS = """影响 决定 提高 降低 反映 取决于 有助于 受限于 优于 改变 促进 抑制 符合 对应于 改善
    导致 增强 描述 满足 包含 体现 依赖于 区别于 高于 接近""".split()
ACTIVE = """采用 分析了 研究了 提出了 比较了 测定了 计算了 建立了 考察了 讨论了 验证了 给出了 利用
    设计了 引入了 统计了 选取了""".split()
LEADS = """因此|此外|同时|然而|其中|例如|另外|可以看出|结果表明|由此可见|总体而言|具体来说|一般地|
    值得注意的是|研究发现|与此相反|首先|其次|最后|近年来|在此基础上|综上所述|事实上|相比之下"""
TAILS = """其差异具有统计学意义|这与已有研究一致|误差在允许范围内|且变化趋势基本相同|效果较为明显|
    从而满足实际需要|并逐渐趋于稳定|具有较好的应用前景|但增幅逐渐减小|这一点需要进一步研究"""
SURNAMES = """王 李 张 刘 陈 杨 赵 黄 周 吴 徐 孙 胡 朱 高 林 何 郭 马 罗 梁 宋 郑 谢 韩 唐 冯 于 董 萧
    程 曹 袁 邓 许 傅 沈 曾 彭 吕""".split()
GIVEN = """伟 芳 娜 敏 静 丽 强 磊 军 洋 勇 艳 杰 涛 明 超 秀英 霞 平 刚 桂英 建华 文 辉 志强 海燕 晓东
    国栋 雪梅 子轩 思远 宇航 立新 红梅 卫东 佳怡 鹏飞 永胜 玉兰 天宇""".split()
PLACES = """北京 上海 南京 武汉 西安 成都 杭州 广州 天津 长沙 沈阳 哈尔滨 兰州 重庆 合肥 济南 大连
    青岛 昆明 郑州""".split()
SCHOOLS = """计算机学院 机械工程学院 土木工程学院 医学院 资源与环境学院 材料科学与工程学院 理学院
    电气工程学院 信息工程学院 第一附属医院 地质研究所 国家重点实验室""".split()
SECTIONS = """引言|材料与方法|结果与分析|讨论|结论|结束语|相关工作|实验结果|问题描述|数值算例|试验方案|
    模型建立|系统设计|统计学处理|研究区概况|一般资料|理论分析|性能评价|参数设置|数据来源|致谢"""


def _words(text: str) -> list[str]:
    return [part.strip() for part in "".join(text.split()).split("|")]


_LEADS, _TAILS, _SECTIONS = _words(LEADS), _words(TAILS), _words(SECTIONS)


class ChineseProse(Prose):
    """Chinese of one made-up paper."""

    language = "zh"

    def _start(self) -> None:
        field = FIELDS[self.rng.choice(sorted(FIELDS))]
        self.nouns = field["noun"].split()
        self.adjs = field["adj"].split()
        self.acts = field["act"].split()
        self.units = field["unit"].split("|")
        self.journals = field["journal"].split("|")
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
        return MATH_START + self.zipf(_MATHS) + MATH_END

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
            return f"{self.phrase()}{r.choice(['', '能够', '可以', '将', '显著', '直接'])}{self.zipf(VERBS)}{self.phrase()}"
        if kind < 0.56:
            return f"{r.choice(['本文', '', '我们', '文献中', '试验中'])}{self.zipf(ACTIVE)}{self.phrase()}"
        if kind < 0.68:
            value = self.math() if self.math_share and self.chance(0.6) else self.quantity()
            return f"{self.phrase()}{r.choice(['为', '约为', '达到', '取', '由此降至'])} {value}"
        if kind < 0.8:
            return f"随着{self.phrase()}的{r.choice(['增加', '减小', '变化'])}，{self.phrase()}{r.choice(['逐渐增大', '明显下降', '趋于稳定', '先增后减', '基本不变'])}"
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
            parts[0] = self.zipf(_LEADS) + "，" + parts[0]
        if self.chance(0.15):
            parts.append(self.zipf(_TAILS))
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
            return self.zipf(_SECTIONS)
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
        if self.chance(0.3):
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
        verb = self.rng.choice("计算 更新 选择 测量 检查 删除 重复 设置 记录 确定".split())
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
                f"本刊网址：www.example.com.cn　E-mail：bjb@example.cn",
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
