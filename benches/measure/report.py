"""What was measured, as a table and as JSON."""

import json
import os


class Report:
    def __init__(self, machine):
        self.machine, self.rows, self.facts, self.growth, self.reservations = machine, [], [], [], []

    def row(self, engine, what, figures, against=None, goal=None, ratio=None):
        """Adds a row; `ratio` is given, or that of the limit's processor time to this one's."""
        if against is not None and ratio is None:
            ratio = against / figures["cpu_us"]
        self.rows.append({"engine": engine, "what": what, "per_second": figures["per_second"],
                          "p50_ms": figures["p50_ms"], "p99_ms": figures["p99_ms"], "cpu_us": figures["cpu_us"],
                          "ratio": ratio, "goal": goal, "met": met(ratio, goal)})

    def fact(self, engine, what, value, unit, most):
        self.facts.append({"engine": engine, "what": what, "value": value, "unit": unit, "goal": ["<=", most],
                           "met": value <= most})

    def text(self):
        lines = [f"{'engine':<11}{'what':<38}{'req/s':>9}{'p50 ms':>8}{'p99 ms':>8}{'CPU us':>8}{'ratio':>7}  goal"]
        for row in self.rows:
            ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
            lines.append(f"{row['engine']:<11}{row['what']:<38}{row['per_second']:>9.0f}{row['p50_ms']:>8.2f}"
                         f"{row['p99_ms']:>8.2f}{row['cpu_us']:>8.1f}{ratio:>7}  {verdict(row)}".rstrip())
        lines.append("")
        for fact in self.facts:
            lines.append(f"{fact['engine']:<11}{fact['what']:<58}{fact['value']:>10.1f} {fact['unit']:<4}{verdict(fact)}")
        lines += ["", f"{'engine':<11}{'tenants':>9}{'get CPU us':>12}{'list CPU us':>13}{'get p99 ms':>12}{'list p99 ms':>13}"]
        for row in self.growth:
            lines.append(f"{row['engine']:<11}{row['tenants']:>9}{row['get']['cpu_us']:>12.1f}{row['list']['cpu_us']:>13.1f}"
                         f"{row['get']['p99_ms']:>12.2f}{row['list']['p99_ms']:>13.2f}")
        lines += ["", f"{'engine':<11}{'attempts':>9}{'accepted':>10}{'refused':>9}{'per second':>12}{'levels':>8}{'overshoot':>11}"]
        for row in self.reservations:
            lines.append(f"{row['engine']:<11}{row['attempts']:>9}{row['accepted']:>10}{row['refused']:>9}{row['per_second']:>12.0f}"
                         f"{row['levels']:>8}{row['overshoot']:>11}  {'met' if row['met'] else 'MISSED'}")
            lines += row["wrong"]
        return "\n".join(lines)

    def write(self, file):
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "w") as out:
            json.dump({"machine": self.machine, "rows": self.rows, "facts": self.facts, "growth": self.growth,
                       "reservations": self.reservations}, out, indent=1)
            out.write("\n")

    def missed(self):
        return [entry for entry in self.rows + self.facts + self.reservations if entry["met"] is False]


def met(ratio, goal):
    if goal is None:
        return None
    sign, value = goal
    return ratio >= value if sign == ">=" else ratio <= value


def verdict(entry):
    if entry["goal"] is None:
        return ""
    sign, value = entry["goal"]
    return f"{sign} {value} {'met' if entry['met'] else 'MISSED'}"
