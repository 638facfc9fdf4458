const dark = window.matchMedia("(prefers-color-scheme: dark)");
const followTheSystem = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followTheSystem);
followTheSystem();

// Swagger UI's own filter knows the names of tags only.
const filterOperations = (tags, phrase) => {
  const wanted = phrase.toLowerCase();
  const isWanted = (found) => [found.get("path"), found.get("method"), found.getIn(["operation", "summary"])]
    .join(" ").toLowerCase().includes(wanted);
  return tags
    .map((tag, name) => name.includes(wanted) ? tag : tag.update("operations", (each) => each.filter(isWanted)))
    .filter((tag) => tag.get("operations").size > 0);
};

const ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  // The badge would send this service's address to a site on the internet.
  validatorUrl: null,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: true,
  tryItOutEnabled: true,
  plugins: [{ fn: { opsFilter: filterOperations } }],
  // The key outlives a reload but not the tab: a library's computers are shared, so it is not kept in localStorage.
  onComplete: () => ui.authActions.restoreAuthorization(JSON.parse(sessionStorage.getItem("key") ?? "{}")),
});
window.addEventListener("pagehide", () => {
  sessionStorage.setItem("key", JSON.stringify(ui.authSelectors.authorized().toJS()));
});
