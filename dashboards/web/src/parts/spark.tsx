// A small line without axes, and a bar for a share; the number always stands beside.

const WIDTH = 60;

export function Spark({ values, label }: { values: (number | null)[]; label: string }) {
  const known = values.filter((value): value is number => value !== null);
  if (known.length < 2) return <span class="soft">–</span>;
  const most = Math.max(...known, Number.MIN_VALUE);
  const step = WIDTH / Math.max(1, values.length - 1);
  let isDown = false;
  const path = values.map((value, index) => {
    if (value === null) {
      isDown = false;
      return "";
    }
    const point = `${isDown ? "L" : "M"}${(index * step).toFixed(1)} ${(18 - (value / most) * 16).toFixed(1)}`;
    isDown = true;
    return point;
  });
  return (
    <svg class="spark" width={WIDTH} height="20" viewBox={`0 0 ${WIDTH} 20`} role="img" aria-label={label}>
      <path d={path.join("")} />
    </svg>
  );
}

export function Share({ share }: { share: number }) {
  return (
    <span class="share" aria-hidden="true">
      <span style={{ width: `${Math.min(100, Math.max(0, share * 100)).toFixed(2)}%` }} />
    </span>
  );
}
