"""LaTeX code that every document shares: the marks, and what carries them into a class's macros."""

from __future__ import annotations

MARKS = r"""
\makeatletter
\DeclareRobustCommand\mk[3]{\def\current@color{#1 #2 #3 rg #1 #2 #3 RG}\set@color}
% A picture of width #2 and height #3 on a sheet of colour #1 that is clipped away.
\newcommand\picbox[4]{{\leavevmode#1\pdfliteral{q 0 0 0 0 re W n 0 0
  \strip@pt\dimexpr#2*7200/7227\relax\space\strip@pt\dimexpr#3*7200/7227\relax\space re f Q}%
  \includegraphics[width=#2,height=#3]{#4}}}
\newsavebox\lpxbox
% Words #2 in a thin frame of colour #1, as hyperref frames links.
\newcommand\linkbox[2]{{\sbox\lpxbox{#2}\rlap{#1\fboxsep.8pt\fboxrule.4pt\kern-1.2pt\smash{\fbox{%
  \vrule width0pt height\ht\lpxbox depth\dp\lpxbox\kern\wd\lpxbox}}}\usebox\lpxbox}}
% A table, made smaller where it is wider than its column.
\newcommand\fitbox[1]{\sbox\lpxbox{#1}\ifdim\wd\lpxbox>\linewidth
  \resizebox{\linewidth}{!}{\usebox\lpxbox}\else\usebox\lpxbox\fi}
% \headmark marks the next title with its number, \capmark the next caption with its label.
\let\headmark\relax
\let\lpx@start\@startsection
\def\@startsection#1#2#3#4#5#6{\lpx@start{#1}{#2}{#3}{#4}{#5}{\headmark#6}}
\ifdefined\@makechapterhead
  \let\lpx@chapter\@makechapterhead
  \def\@makechapterhead#1{\begingroup\headmark\lpx@chapter{#1}\endgroup}
  \let\lpx@schapter\@makeschapterhead
  \def\@makeschapterhead#1{\begingroup\headmark\lpx@schapter{#1}\endgroup}
\fi
\ifdefined\start@SFBbox
  \let\lpx@box\start@SFBbox
  \def\start@SFBbox{\lpx@box\headmark}
\fi
\let\capmark\relax
\ifdefined\DeclareCaptionFont
  \DeclareCaptionFont{lpx}{\capmark}\captionsetup{font+=lpx}
\fi
% The number of an equation keeps the equation's colour.
\def\@eqnnum{{\normalfont(\theequation)}}
% Not the text symbols of TS1, whose font may have no outlines.
\DeclareTextSymbolDefault{\textbullet}{OMS}
\def\@fnsymbol#1{\ensuremath{\ifcase#1\or *\or\dagger\or\ddagger\or\mathsection\else\|\fi}}
\interfootnotelinepenalty10000
\makeatother
"""
THEOREMS = r"""
\newtheorem{lpxtheorem}{Theorem}[section]
\newtheorem{lpxlemma}{Lemma}[section]
\newtheorem{lpxproposition}{Proposition}[section]
\newtheorem{lpxdefinition}{Definition}
\newtheorem{lpxremark}{Remark}
\newenvironment{lpxproof}{\par\noindent\textit{Proof.} }{\hfill$\square$\par}
"""
PACKAGES = r"""
\usepackage{amsmath,amssymb,graphicx,color,booktabs,array}
"""
FONTS = {
    "cm": "",
    "lm": r"\usepackage[T1]{fontenc}\usepackage{lmodern}",
    "times": r"\usepackage{mathptmx}",
    "oldtimes": r"\usepackage{times}",
    "palatino": r"\usepackage{mathpazo}",
    "charter": r"\usepackage{charter}",
    "newcent": r"\usepackage{newcent}",
    "utopia": r"\usepackage{utopia}",
    "sans": r"\usepackage{helvet}\renewcommand\familydefault{\sfdefault}",
    "bookman": r"\usepackage{bookman}",
}
FILES = (
    "IEEEtran.cls",
    "revtex4-2.cls",
    "elsarticle.cls",
    "amsart.cls",
    "llncs.cls",
    "mnras.cls",
    "caption.sty",
    "fancyhdr.sty",
    "lineno.sty",
    "lmodern.sty",
    "mathpazo.sty",
    "natbib.sty",
    "bchr7t.tfm",
    "ptmr7t.tfm",
)
"""What LaTeX must find."""
DEBIAN = (
    "texlive-latex-recommended texlive-latex-extra texlive-publishers texlive-science "
    "texlive-fonts-recommended lmodern"
)
"""Packages of Debian that bring it."""
