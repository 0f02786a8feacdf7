// A canvas with axes, in the colors of the style sheet.

const colors = {};

export function readColors() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["ink", "faint", "quiet", "law", "goal", "dots", "trail", "third", "card"])
    colors[name] = style.getPropertyValue(`--${name}`).trim();
}

export class Plot {
  constructor(id, { margin = [8, 8, 22, 38] } = {}) {
    this.canvas = document.getElementById(id);
    this.context = this.canvas.getContext("2d");
    this.margin = margin; // top, right, bottom, left
  }

  // Clears the canvas; x and y are [from, to].
  begin(x, y) {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, width, height);
    const [top, right, bottom, left] = this.margin;
    Object.assign(this, { x, y, left, top, width: width - left - right, height: height - top - bottom });
  }

  px(x) { return this.left + ((x - this.x[0]) / (this.x[1] - this.x[0])) * this.width; }
  py(y) { return this.top + ((this.y[1] - y) / (this.y[1] - this.y[0])) * this.height; }

  // The point of the plot under a pointer.
  under(event) {
    const box = this.canvas.getBoundingClientRect();
    const fx = (event.clientX - box.left - this.left) / this.width;
    const fy = (event.clientY - box.top - this.top) / this.height;
    return [this.x[0] + fx * (this.x[1] - this.x[0]), this.y[1] - fy * (this.y[1] - this.y[0])];
  }

  axes({ xTicks = ticks(this.x), yTicks = ticks(this.y), xName = "", yName = "", format = String } = {}) {
    const c = this.context;
    c.strokeStyle = colors.faint;
    c.fillStyle = colors.quiet;
    c.lineWidth = 1;
    c.font = "12px system-ui, sans-serif";
    c.textAlign = "center";
    c.textBaseline = "top";
    for (const x of xTicks) {
      this.segment(this.px(x), this.top, this.px(x), this.top + this.height);
      c.fillText(format(x), this.px(x), this.top + this.height + 5);
    }
    c.textAlign = "right";
    c.textBaseline = "middle";
    for (const y of yTicks) {
      this.segment(this.left, this.py(y), this.left + this.width, this.py(y));
      c.fillText(format(y), this.left - 5, this.py(y));
    }
    if (xName) {
      c.textBaseline = "bottom";
      this.write(xName, this.left + this.width - 4, this.top + this.height - 3, "right");
    }
    if (yName) {
      c.textBaseline = "top";
      this.write(yName, this.left + 5, this.top + 3, "left");
    }
  }

  write(text, x, y, align) {
    const c = this.context;
    c.textAlign = align;
    c.lineWidth = 3;
    c.strokeStyle = colors.card;
    c.strokeText(text, x, y);
    c.fillStyle = colors.quiet;
    c.fillText(text, x, y);
  }

  segment(x0, y0, x1, y1) {
    const c = this.context;
    c.beginPath();
    c.moveTo(x0, y0);
    c.lineTo(x1, y1);
    c.stroke();
  }

  clipped(draw) {
    const c = this.context;
    c.save();
    c.beginPath();
    c.rect(this.left, this.top, this.width, this.height);
    c.clip();
    draw(c);
    c.restore();
  }

  line(points, color, { dash = [], width = 2, alpha = 1 } = {}) {
    this.clipped((c) => {
      c.globalAlpha = alpha;
      c.strokeStyle = colors[color];
      c.lineWidth = width;
      c.setLineDash(dash);
      c.lineJoin = "round";
      c.beginPath();
      for (const [x, y] of points) c.lineTo(this.px(x), this.py(y));
      c.stroke();
    });
  }

  dots(points, color, size = 1.5, alpha = 0.5) {
    this.clipped((c) => {
      c.globalAlpha = alpha;
      c.fillStyle = colors[color];
      for (const [x, y] of points) c.fillRect(this.px(x) - size, this.py(y) - size, 2 * size, 2 * size);
    });
  }

  disks(points, color, radius) {
    this.clipped((c) => {
      c.fillStyle = colors[color];
      c.strokeStyle = colors.card;
      c.lineWidth = 1.5;
      for (const [x, y] of points) {
        c.beginPath();
        c.arc(this.px(x), this.py(y), radius, 0, 2 * Math.PI);
        c.fill();
        c.stroke();
      }
    });
  }

  bars(heights, from, to, color, base = 0, scale = 1) {
    const step = (to - from) / heights.length;
    this.clipped((c) => {
      c.globalAlpha = 0.55;
      c.fillStyle = colors[color];
      heights.forEach((h, i) => {
        const [left, right] = [this.px(from + i * step), this.px(from + (i + 1) * step)];
        const top = this.py(base + scale * h);
        c.fillRect(left, top, right - left - 0.5, this.py(base) - top);
      });
    });
  }

  // The contour of N(mean, [[a, b], [b, c]]) that holds the share `inside`.
  ellipse([a, b, c], color, { mean = [0, 0], inside = 0.9, ...style } = {}) {
    const radius = Math.sqrt(-2 * Math.log(1 - inside));
    const l11 = Math.sqrt(Math.max(a, 0));
    const l21 = l11 > 0 ? b / l11 : 0;
    const l22 = Math.sqrt(Math.max(c - l21 * l21, 0));
    const points = [];
    for (let i = 0; i <= 72; i++) {
      const [u, v] = [radius * Math.cos((i * Math.PI) / 36), radius * Math.sin((i * Math.PI) / 36)];
      points.push([mean[0] + l11 * u, mean[1] + l21 * u + l22 * v]);
    }
    this.line(points, color, style);
  }
}

export function color(name) { return colors[name]; }

// About five round numbers within a range.
export function ticks([from, to]) {
  const raw = (to - from) / 5;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + 1e-9 * step; i++) found.push(Number((i * step).toPrecision(6)));
  return found;
}

export function normal(variance) {
  return (x) => Math.exp((-x * x) / (2 * variance)) / Math.sqrt(2 * Math.PI * variance);
}

export function curve(f, from, to, count = 120) {
  return Array.from({ length: count + 1 }, (_, i) => {
    const x = from + ((to - from) * i) / count;
    return [x, f(x)];
  });
}

export const pairs = (thousandths) => thousandths.map(([x, y]) => [x / 1000, y / 1000]);
