// The key stays in this browser, so that a reload does not ask for it again.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  // The badge would send this service's address to a site on the internet.
  validatorUrl: null,
  docExpansion: "list",
  filter: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
});
