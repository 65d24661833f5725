// All pages, in the order of the menu.

export interface PageEntry { path: string; name: string; key: string; group: string }

export const PAGES: PageEntry[] = [
  { path: "", name: "Findings", key: "f", group: "Repair" },
  { path: "statements", name: "Statements", key: "s", group: "Load" },
  { path: "routes", name: "Routes", key: "r", group: "Load" },
  { path: "flame", name: "Flame", key: "m", group: "Load" },
  { path: "transactions", name: "Transactions", key: "t", group: "Load" },
  { path: "tables", name: "Tables", key: "b", group: "Load" },
  { path: "live", name: "Live", key: "l", group: "Now" },
  { path: "connections", name: "Connections", key: "c", group: "Now" },
  { path: "errors", name: "Errors", key: "e", group: "Now" },
  { path: "compare", name: "Compare", key: "d", group: "More" },
  { path: "about", name: "About", key: "a", group: "More" },
];
