# SPDX-License-Identifier: GPL-2.0-or-later
"""Abbreviations of time zones -> seconds east of Greenwich.

An abbreviation is a fixed offset: no summer time is added to it. Names with
several meanings have the one that existing configurations were written for; IST
(India, Ireland, Israel) has none. This module imports nothing of the program.

Sources: jail-conf.md sections 5.4 and 8.3; RFC 822 section 5.1 for the American
names, the IANA time zone database for most others, the nautical letters (of
which RFC 822 has the signs wrong, as RFC 2822 section 4.3 says).
"""

from __future__ import annotations

import re

# Hours, then the names that mean them. J is the observer's own time, so none.
_TABLE = """
-12: Y BIT IDLW
-11: X NUT SST
-10: W HST CKT TAHT
-9.5: MART MIT
-9: V AKST GAMT GIT HDT
-8: U PST AKDT CIST
-7: T MST PDT
-6: S CST MDT GALT EAST
-5: R EST CDT COT PET ECT CIDST EASST
-4.5: HLV
-4: Q AST EDT BOT GYT VET PYT COST FKT CLT
-3.5: NST
-3: P ADT BRT ART UYT GFT SRT PMST ROTT WGT FKST CLST PYST
-2.5: NDT
-2: O FNT UYST BRST PMDT WGST
-1: N AZOT CVT EGT
0: Z UT UTC GMT WET WEZ AZOST EGST
1: A CET MET MEZ BST WEST WAT DFT
2: B CEST MEST MESZ EET OEZ SAST CAT WAST HAEC
3: C EEST OESZ MSK EAT TRT SYOT IDT FET
3.5: IRST
4: D AMT MSD GST AZT GET MUT RET SCT SAMT VOLT
4.5: IRDT AFT
5: E AMST PKT UZT TJT TMT YEKT MVT ORAT TFT MAWT AQTT HMT
5.5: SLST
5.75: NPT
6: F BTT BIOT KGT OMST VOST ALMT IOT YEKST PKST QYZT BDST
6.5: MMT CCT
7: G ICT WIB KRAT HOVT CXT DAVT NOVT OMSST THA
8: H ACT HKT SGT PHT AWST WITA IRKT MYT BNT ULAT CHOT HOVST KRAST PHST WST ACWDT
8.75: CWST ACWST
9: I JST KST WIT YAKT PWT TLT AWDT ULAST CHOST IRKST
9.5: ACST
10: K AEST CHST CHUT PGT VLAT YAKST DDUT
10.5: ACDT LHST
11: L AEDT SBT NCT VUT MAGT SAKT PONT KOST NFT SRET LHDT VLAST
12: M NZST FJT TVT WAKT WFT MHT PETT ANAT GILT MAGST NFDT NRT
12.75: CHAST
13: NZDT TOT PHOT TKT FJST
13.75: CHADT
14: LINT
"""


def _read(table: str) -> dict[str, int]:
    lines = (line.partition(":") for line in table.split("\n") if line)
    return {name: round(float(hours) * 3600) for hours, _, names in lines for name in names.split()}


#: Name -> seconds east of Greenwich. Of the single letters only Z is what logs mean.
ABBREVIATIONS = _read(_TABLE)

_FORM = re.compile(r"([A-Z]*)(?:([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)?")


def offset(text: str) -> int | None:
    """Return the seconds east of Greenwich that "CET", "+0530" or "UTC+02:00" mean.

    An abbreviation and an offset add up. None: it is neither, as "Europe/Paris".
    """
    found = _FORM.fullmatch(text)
    if not found or not text:
        return None
    name, sign, hours, minutes = found.groups()
    base = ABBREVIATIONS.get(name) if name else 0
    if base is None:
        return None
    seconds = int(hours or 0) * 3600 + int(minutes or 0) * 60
    return base - seconds if sign == "-" else base + seconds
