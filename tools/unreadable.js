// Returns what a reader of this page cannot read, a line for each: texts that leave their drawing or their box in it, code
// that is cut off, headers of tables without a text, parts that stick out of the page's column.
() => {
  const found = []
  const short = element => element.textContent.trim().replace(/\s+/g, ' ').slice(0, 60)
  const box = element => element.getBoundingClientRect()
  const visible = element => box(element).width > 0 && box(element).height > 0 && getComputedStyle(element).visibility !== 'hidden'
  const inside = (inner, outer, slack) => inner.left >= outer.left - slack && inner.right <= outer.right + slack &&
    inner.top >= outer.top - slack && inner.bottom <= outer.bottom + slack
  const scrolls = element => element && element !== document.body &&
    (['auto', 'scroll'].includes(getComputedStyle(element).overflowX) || scrolls(element.parentElement))
  const content = document.querySelector('article') || document.body || document

  // Mermaid's diagrams lie in shadow roots.
  const shadows = [...content.querySelectorAll('.mermaid')].map(host => host.shadowRoot).filter(Boolean)
  for (const drawing of [content, ...shadows].flatMap(root => [...root.querySelectorAll('svg')])) {
    if (!visible(drawing) || box(drawing).width < 60) continue
    const shapes = [...drawing.querySelectorAll('rect')].filter(visible).map(box).filter(shape => shape.height > 16)
    for (const text of drawing.querySelectorAll('text, foreignObject')) {
      const range = document.createRange()
      range.selectNodeContents(text)
      const place = range.getBoundingClientRect()
      if (!visible(text) || !text.textContent.trim()) continue
      if (!inside(place, box(drawing), 2)) found.push(`a text leaves its drawing: ${short(text)}`)
      const y = (place.top + place.bottom) / 2
      const begins = (shape, x) => shape.left <= x && x <= shape.right && shape.top <= y && y <= shape.bottom
      const around = shapes.filter(shape => begins(shape, (place.left + place.right) / 2) || begins(shape, place.left + 1))
        .sort((one, other) => one.width * one.height - other.width * other.height)[0]
      if (around && !inside(place, around, 3)) found.push(`a text leaves its box in a drawing: ${short(text)}`)
    }
  }
  for (const code of content.querySelectorAll('code')) {
    if (!visible(code)) continue
    const clips = element => ['hidden', 'clip'].includes(getComputedStyle(element).overflowX)
    if (clips(code) && code.scrollWidth > code.clientWidth + 1) found.push(`code is cut off: ${short(code)}`)
    for (let above = code.parentElement; above && above !== content; above = above.parentElement) {
      if (scrolls(above)) break
      if (clips(above) && box(code).right > box(above).right + 1) found.push(`code is cut off: ${short(code)}`)
    }
  }
  for (const head of content.querySelectorAll('th')) {
    if (visible(head) && !head.textContent.trim() && !head.querySelector('img, svg')) {
      found.push(`a table has a header without a text: ${short(head.closest('table'))}`)
    }
  }
  // Tables and blocks of code scroll by themselves and reach over the column's margins.
  if (!document.body) return [...new Set(found)]
  const right = Math.min(box(content).right + 20, document.documentElement.clientWidth)
  for (const element of content.querySelectorAll('*')) {
    if (element.closest('svg') && element.tagName.toLowerCase() !== 'svg') continue
    if (visible(element) && !scrolls(element.parentElement) && box(element).right > right + 2) {
      found.push(`<${element.tagName.toLowerCase()}> sticks out of the page: ${short(element)}`)
    }
  }
  return [...new Set(found)]
}
